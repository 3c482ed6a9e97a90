package evals

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dlm"
)

// pairView holds two arms side by side.
type pairView struct {
	Candidate, Baseline string
	Metric              string
	Counts              []countView // of outcomes, in the order of the bar
	Broken, Fixed       []comparison
	MoreBroken          []comparison // beyond the first few
	MoreFixed           []comparison
}

// countView is one part of the bar of outcomes.
type countView struct {
	Outcome string
	Class   string
	N       int
	Left    string // start, percent of the width
	Width   string
}

// comparison is one item answered by both arms.
type comparison struct {
	ID        string
	Prompt    []dlm.Message
	Target    string
	Candidate answerView
	Baseline  answerView
}

// answerView is a completion with its differences from the target marked.
type answerView struct {
	Arm     string
	Finish  string
	Error   string
	Diff    []segment
	Empty   bool
	Mark    string // "right", "wrong", "part", "unscored"
	Why     string
	Value   string // of a graded score, in percent
	Latency string
	Scores  []scoreView
	Sent    []dlm.Message // the prompt as sent, when it differs from the item's
}

type scoreView struct {
	Metric string
	Text   string
	Mark   string
}

// itemView is one item with every arm's answer.
type itemView struct {
	ID      string
	Prompt  []dlm.Message
	Asked   string // last turn, for the line
	Target  string
	Cluster string
	Tags    []string
	TagAt   string // indices into AllTags, with spaces around, for the filter
	WrongAt string // indices of the arms that are not right
	Outcome string // candidate against baseline
	Answers []answerView
}

// shown is how many fixed and broken items stand open.
const shown = 5

func newPairView(cand, base dlm.Arm, metric, system string) *pairView {
	p := &pairView{Candidate: cand.Name, Baseline: base.Name, Metric: metric}
	byID := map[string]dlm.Sample{}
	for _, s := range base.Samples {
		byID[s.ItemID] = s
	}
	count := map[string]int{}
	var broken, fixed []comparison
	for _, c := range cand.Samples {
		b, ok := byID[c.ItemID]
		if !ok {
			continue
		}
		what := outcome(c, b, metric)
		count[what]++
		if what != "fixed" && what != "broken" {
			continue
		}
		cmp := comparison{
			ID: c.ItemID, Prompt: c.Prompt, Target: c.Target,
			Candidate: newAnswer(cand, c, metric), Baseline: newAnswer(base, b, metric),
		}
		if cand.Shots > 0 {
			cmp.Prompt = b.Prompt
		}
		cmp.Prompt = without(system, cmp.Prompt)
		if what == "fixed" {
			fixed = append(fixed, cmp)
		} else {
			broken = append(broken, cmp)
		}
	}
	p.Fixed, p.MoreFixed = cut(fixed)
	p.Broken, p.MoreBroken = cut(broken)
	total := 0
	for _, n := range count {
		total += n
	}
	at := 0
	for _, o := range []string{"both right", "equal", "fixed", "broken", "both wrong", "unscored"} {
		if n := count[o]; n > 0 {
			p.Counts = append(p.Counts, countView{
				Outcome: o, Class: strings.ReplaceAll(o, " ", "-"), N: n,
				Left: place(float64(at) / float64(total)), Width: place(float64(n) / float64(total)),
			})
			at += n
		}
	}
	return p
}

func cut(all []comparison) (few, more []comparison) {
	n := min(shown, len(all))
	return all[:n], all[n:]
}

func newAnswer(a dlm.Arm, s dlm.Sample, metric string) answerView {
	v := answerView{
		Arm: a.Name, Finish: s.Finish, Error: s.Error, Diff: diffText(s.Completion, s.Target),
		Empty: strings.TrimSpace(s.Completion) == "", Latency: duration(s.LatencyMS),
	}
	if sc, ok := s.Scores[metric]; ok {
		v.Mark, v.Why = mark(sc), sc.Why
		if v.Mark == "part" {
			v.Value = fmt.Sprintf("%.0f", 100*sc.Value)
		}
	}
	for _, name := range sortedKeys(s.Scores) {
		sc := s.Scores[name]
		if sc.Ratio && sc.Den == 0 && !sc.Unscored {
			continue // nothing to count in this sample
		}
		text := fmt.Sprintf("%.0f", 100*sc.Value)
		if sc.Unscored {
			text = "unscored"
		}
		v.Scores = append(v.Scores, scoreView{metricLabel(name), text, mark(sc)})
	}
	if a.Shots > 0 {
		v.Sent = s.Prompt
	}
	return v
}

func mark(s dlm.Score) string {
	switch {
	case s.Unscored:
		return "unscored"
	case s.Value >= 1:
		return "right"
	case s.Value > 0:
		return "part"
	}
	return "wrong"
}

func newItems(r dlm.Report, cand, base dlm.Arm, system string) ([]itemView, []string) {
	if len(r.Arms) == 0 {
		return nil, nil
	}
	var tags []string
	byArm := make([]map[string]dlm.Sample, len(r.Arms))
	for i, a := range r.Arms {
		byArm[i] = map[string]dlm.Sample{}
		for _, s := range a.Samples {
			byArm[i][s.ItemID] = s
			tags = append(tags, s.Tags...)
		}
	}
	slices.Sort(tags)
	tags = slices.Compact(tags)
	var items []itemView
	for _, s := range r.Arms[0].Samples {
		iv := itemView{ID: s.ItemID, Prompt: s.Prompt, Target: s.Target, Cluster: s.Cluster, Tags: s.Tags, TagAt: " ", WrongAt: " "}
		for _, t := range s.Tags {
			at, _ := slices.BinarySearch(tags, t)
			iv.TagAt += strconv.Itoa(at) + " "
		}
		for i, a := range r.Arms {
			as, ok := byArm[i][s.ItemID]
			if !ok {
				continue
			}
			if a.Shots == 0 {
				iv.Prompt = as.Prompt
			}
			av := newAnswer(a, as, r.Primary)
			if av.Mark != "right" {
				iv.WrongAt += strconv.Itoa(i) + " "
			}
			iv.Answers = append(iv.Answers, av)
			iv.Outcome = pairOutcome(r, byArm, s.ItemID, cand, base)
		}
		iv.Prompt = without(system, iv.Prompt)
		if n := len(iv.Prompt); n > 0 {
			iv.Asked = iv.Prompt[n-1].Content
		}
		items = append(items, iv)
	}
	return items, tags
}

// pairOutcome is outcome by item id; empty when there are no two arms.
func pairOutcome(r dlm.Report, byArm []map[string]dlm.Sample, id string, cand, base dlm.Arm) string {
	var c, b dlm.Sample
	found := 0
	for i, a := range r.Arms {
		if s, ok := byArm[i][id]; ok && a.Name == cand.Name {
			c, found = s, found+1
		} else if ok && a.Name == base.Name {
			b, found = s, found+1
		}
	}
	if found != 2 {
		return ""
	}
	return outcome(c, b, r.Primary)
}

// diffPlot draws a difference with its interval on an axis around zero.
type diffPlot struct {
	X, Left, Width, Zero, Margin string
	AxisLow, AxisHigh            string
}

func newVerdictView(v dlm.Verdict) *verdictView {
	span := 0.01
	for _, x := range []float64{v.Low, v.High, v.Margin} {
		span = max(span, x*1.15, -x*1.15)
	}
	at := func(x float64) string { return place((x + span) / (2 * span)) }
	p := diffPlot{
		X: at(v.Difference), Left: at(v.Low), Zero: at(0), Margin: at(-v.Margin),
		Width:   place((v.High - v.Low) / (2 * span)),
		AxisLow: fmt.Sprintf("%+.0f", -100*span), AxisHigh: fmt.Sprintf("%+.0f", 100*span),
	}
	words := map[dlm.Outcome]string{dlm.Pass: "Gate passed", dlm.Fail: "Gate failed", dlm.Inconclusive: "Gate inconclusive"}
	return &verdictView{Verdict: v, Word: words[v.Outcome], Plot: p}
}
