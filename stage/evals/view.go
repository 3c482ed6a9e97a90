package evals

import (
	"fmt"
	"slices"
	"strings"

	"dlm"
)

// view is what the page's template shows.
type view struct {
	Title   string
	Primary string
	System  string // the system message that every prompt opens with, shown once
	Report  dlm.Report
	Verdict *verdictView
	Metrics []string  // in order of the columns, the primary one first
	Arms    []armView // in order of the report
	Tags    []tagTable
	Pair    *pairView
	Items   []itemView
	AllTags []string
	Lineage []Lineage
	Footer  string
	Level   float64 // of the intervals
}

type verdictView struct {
	dlm.Verdict
	Word string
	Plot diffPlot
}

// armView is one row of the table of arms.
type armView struct {
	Name    string
	Kind    string // "adapter", "baseline", "no model"
	Cells   []cell
	Median  string
	P95     string
	Focus   string // "candidate", "baseline" or empty
	IsModel bool
}

// cell is one metric of one arm, with its bar in percent of the width.
type cell struct {
	dlm.Metric
	Has   bool
	Best  bool
	X     string // position of the value
	Left  string // start of the interval
	Width string // of the interval
}

// tagTable is one metric by tags and arms.
type tagTable struct {
	Metric string
	Rows   []tagRow
}

type tagRow struct {
	Tag   string
	N     int
	Cells []tagCell
}

type tagCell struct {
	Has       bool
	Value     float64
	Low, High float64
	Shade     string // opacity of the cell's ground
}

func metricLabel(name string) string {
	return strings.ReplaceAll(strings.TrimPrefix(name, "field:"), "_", " ")
}

func newView(r dlm.Report, o HTMLOptions) (view, error) {
	v := view{Title: o.Title, Primary: r.Primary, Report: r, Metrics: metricOrder(r), Footer: tableFooter(r)}
	v.System, v.Level = commonSystem(r), DefaultLevel
	if v.Title == "" {
		v.Title = "Evaluation"
	}
	cand, base, err := focus(r, o)
	if err != nil {
		return v, err
	}
	for _, a := range r.Arms {
		av := newArmView(r, a, v.Metrics)
		switch a.Name {
		case cand.Name:
			av.Focus = "candidate"
		case base.Name:
			av.Focus = "baseline"
		}
		v.Arms = append(v.Arms, av)
		if m, ok := a.Metric(r.Primary); ok {
			v.Level = m.Level
		}
	}
	for _, m := range v.Metrics {
		if t, ok := newTagTable(r, m); ok {
			v.Tags = append(v.Tags, t)
		}
	}
	if cand.Name != "" && base.Name != "" {
		v.Pair = newPairView(cand, base, r.Primary, v.System)
	}
	v.Items, v.AllTags = newItems(r, cand, base, v.System)
	v.Lineage = lineage(r, o)
	if o.Verdict != nil {
		v.Verdict = newVerdictView(*o.Verdict)
	}
	return v, nil
}

// commonSystem returns the system message that all prompts open with, if any.
func commonSystem(r dlm.Report) string {
	common := ""
	for _, a := range r.Arms {
		for _, s := range a.Samples {
			if len(s.Prompt) == 0 || s.Prompt[0].Role != "system" {
				return ""
			}
			if common == "" {
				common = s.Prompt[0].Content
			}
			if s.Prompt[0].Content != common {
				return ""
			}
		}
	}
	return common
}

// without drops the system message that the page shows once.
func without(system string, prompt []dlm.Message) []dlm.Message {
	if system != "" && len(prompt) > 0 && prompt[0].Content == system {
		return prompt[1:]
	}
	return prompt
}

// focus picks the two arms to hold side by side. With one arm both names stay
// empty.
func focus(r dlm.Report, o HTMLOptions) (cand, base dlm.Arm, err error) {
	if o.Verdict != nil {
		o.Candidate = first(o.Candidate, o.Verdict.Candidate)
		o.Baseline = first(o.Baseline, o.Verdict.Baseline)
	}
	named := func(name string) (dlm.Arm, error) {
		a, ok := r.Arm(name)
		if !ok {
			return a, fmt.Errorf("report page: the report has no arm %q", name)
		}
		return a, nil
	}
	if o.Candidate != "" {
		if cand, err = named(o.Candidate); err != nil {
			return cand, base, err
		}
	} else {
		cand = bestArm(r, func(a dlm.Arm) bool { return a.Adapter != "" })
	}
	if o.Baseline != "" {
		base, err = named(o.Baseline)
		return cand, base, err
	}
	if cand.Name == "" { // baselines only: the best against the next
		cand = bestArm(r, func(dlm.Arm) bool { return true })
	}
	base = bestArm(r, func(a dlm.Arm) bool { return a.Adapter == "" && a.Name != cand.Name })
	return cand, base, nil
}

// bestArm returns the arm with the highest primary metric among those that ok
// accepts, the first of equals; an empty arm when there is none.
func bestArm(r dlm.Report, ok func(dlm.Arm) bool) dlm.Arm {
	var best dlm.Arm
	top := -1.0
	for _, a := range r.Arms {
		if m, has := a.Metric(r.Primary); has && ok(a) && m.Value > top {
			best, top = a, m.Value
		}
	}
	return best
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func newArmView(r dlm.Report, a dlm.Arm, metrics []string) armView {
	av := armView{Name: a.Name, Kind: "baseline", IsModel: true}
	switch {
	case a.Adapter != "":
		av.Kind = "adapter " + a.Adapter.Short()
	case a.Shots > 0:
		av.Kind = fmt.Sprintf("base, %d nearest training rows in the prompt", a.Shots)
	case a.Name == "nearest-copy":
		av.Kind, av.IsModel = "no model: the nearest training row's answer", false
	case a.Name == "linear":
		av.Kind, av.IsModel = "no language model: linear classifier", false
	case a.Name == "zero-shot":
		av.Kind = "base, the prompt alone"
	}
	for _, name := range metrics {
		m, ok := a.Metric(name)
		c := cell{Metric: m, Has: ok && m.N > 0}
		c.Best = c.Has && m.Value == bestValue(r, name)
		c.X, c.Left, c.Width = place(m.Value), place(m.Low), place(m.High-m.Low)
		av.Cells = append(av.Cells, c)
	}
	median, p95 := Latency(a)
	av.Median, av.P95 = duration(median), duration(p95)
	return av
}

// place writes a share of 1 as a position from 0 to 100.
func place(v float64) string { return fmt.Sprintf("%.2f", 100*min(max(v, 0), 1)) }

func newTagTable(r dlm.Report, metric string) (tagTable, bool) {
	t := tagTable{Metric: metric}
	var tags []string
	cells := map[string]map[string]dlm.Metric{} // tag -> arm -> metric
	for _, a := range r.Arms {
		for _, row := range a.Tags {
			if row.Metric.Name != metric {
				continue
			}
			if cells[row.Tag] == nil {
				cells[row.Tag] = map[string]dlm.Metric{}
				tags = append(tags, row.Tag)
			}
			cells[row.Tag][a.Name] = row.Metric
		}
	}
	slices.Sort(tags)
	for _, tag := range tags {
		row := tagRow{Tag: tag}
		for _, a := range r.Arms {
			m, ok := cells[tag][a.Name]
			row.N = max(row.N, m.N)
			row.Cells = append(row.Cells, tagCell{
				Has: ok && m.N > 0, Value: m.Value, Low: m.Low, High: m.High,
				Shade: fmt.Sprintf("%.0f%%", 100*0.42*m.Value),
			})
		}
		t.Rows = append(t.Rows, row)
	}
	return t, len(tags) > 0
}

// lineage lists the artifacts behind the report, those of the report first.
func lineage(r dlm.Report, o HTMLOptions) []Lineage {
	var out []Lineage
	add := func(role, name, id string) {
		if id == "" {
			return
		}
		for i, l := range out {
			if l.ID == id {
				out[i].Name = first(l.Name, name)
				return
			}
		}
		out = append(out, Lineage{role, name, id})
	}
	add("golden", "", string(r.Golden))
	add("base", "", string(r.Base))
	add("data", "", string(r.Data))
	for _, a := range r.Arms {
		add("adapter", a.Name, string(a.Adapter))
	}
	for _, l := range o.Lineage {
		add(l.Role, l.Name, l.ID)
	}
	return out
}
