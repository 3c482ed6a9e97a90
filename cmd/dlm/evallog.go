package main

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/term"

	"dlm"
	"dlm/stage/evals"
)

// evalLog says how far an evaluation is.
type evalLog struct {
	a     *app
	arm   string
	start time.Time
	next  time.Time
}

func (l *evalLog) sample(p evals.Progress) {
	now := time.Now()
	if p.Arm != l.arm {
		l.arm, l.start, l.next = p.Arm, now, now.Add(5*time.Second)
	}
	switch {
	case p.Done == p.Total:
		l.a.notef("%s: %d items", p.Arm, p.Total)
	case now.After(l.next):
		l.a.notef("%s: %d of %d items", p.Arm, p.Done, p.Total)
		l.next = now.Add(10 * time.Second)
	}
}

// printReport writes the table of arms and, when there are two to compare, what
// the candidate fixed and broke.
func (a *app) printReport(r dlm.Report, candidate, baseline string, items int) error {
	o := evals.TableOptions{Color: a.color(), Width: a.width()}
	if err := evals.WriteTable(a.stdout, r, o); err != nil {
		return err
	}
	if r.Engine != "" {
		a.printf("answered by %s\n", r.Engine)
	}
	if candidate == "" || items == 0 {
		return nil
	}
	c, ok := r.Arm(candidate)
	b, ok2 := r.Arm(baseline)
	if !ok || !ok2 {
		return nil
	}
	fixed, broken := changedItems(c, b, r.Primary)
	a.printf("\n%s against %s: %d items fixed, %d broken\n", candidate, baseline, len(fixed), len(broken))
	a.printChanged("fixed", fixed, items)
	a.printChanged("broken", broken, items)
	return nil
}

// changed is one item that two arms answer differently well.
type changed struct {
	ID, Asked, Target, Candidate, Baseline string
}

func changedItems(c, b dlm.Arm, metric string) (fixed, broken []changed) {
	before := map[string]dlm.Sample{}
	for _, s := range b.Samples {
		before[s.ItemID] = s
	}
	for _, s := range c.Samples {
		o, ok := before[s.ItemID]
		x, y := s.Scores[metric], o.Scores[metric]
		if !ok || x.Unscored || y.Unscored || x.Value == y.Value {
			continue
		}
		asked := ""
		if n := len(s.Prompt); n > 0 {
			asked = s.Prompt[n-1].Content
		}
		ch := changed{s.ItemID, asked, s.Target, s.Completion, o.Completion}
		if x.Value > y.Value {
			fixed = append(fixed, ch)
		} else {
			broken = append(broken, ch)
		}
	}
	return fixed, broken
}

func (a *app) printChanged(what string, items []changed, n int) {
	for _, c := range items[:min(n, len(items))] {
		a.printf("  %-6s %s\n         target    %s\n         candidate %s\n         baseline  %s\n", what,
			oneLine(c.Asked, 90), oneLine(c.Target, 110), oneLine(c.Candidate, 110), oneLine(c.Baseline, 110))
	}
}

// width is the terminal's, or a page's where output goes elsewhere.
func (a *app) width() int {
	if f, ok := a.stdout.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 40 {
			return w
		}
	}
	return 120
}

// percent writes a share of 1.
func percent(v float64) string { return strconv.FormatFloat(100*v, 'f', 1, 64) + "%" }
