package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"dlm"
	"dlm/lifecycle"
	"dlm/stage/registry"
)

// runCmd brings every stage up to date.
type runCmd struct {
	setFlags
	DryRun bool `help:"Only say which stages would run, why, how long they take and the memory they need."`
}

func (c *runCmd) Run(a *app) error {
	l, err := a.newPipeline(c.Set)
	if err != nil {
		return err
	}
	nodes := []lifecycle.Node{l.checkNode(), l.trainNode()}
	if l.golden.ID != "" {
		if err := l.needGolden(); err != nil {
			return err
		}
		made := lifecycle.Input{From: "train", Kind: dlm.KindAdapter}
		nodes = []lifecycle.Node{l.checkNode(), l.baselinesNode(), l.trainNode(), l.evalNode(made)}
		other, err := l.baselineReport(l.p.Gate.Baseline)
		if err != nil {
			return err
		}
		nodes = append(nodes, l.gateNode(other))
		if l.p.Promote.Alias != "" {
			nodes = append(nodes, l.promoteNode(made))
		}
	}
	if c.DryRun {
		return l.dryRun(nodes)
	}
	steps, err := l.run("dlm run", nodes)
	if err != nil {
		return l.finishRun(steps, err)
	}
	return l.finishRun(steps, nil)
}

// run takes the project's lock and brings the nodes up to date.
func (l *pipeline) run(command string, nodes []lifecycle.Node) ([]lifecycle.Step, error) {
	if err := l.a.lock(l.p, command); err != nil {
		return nil, err
	}
	g := lifecycle.Graph{Store: l.store, State: l.p.State(), Nodes: nodes, Exclusive: true, Observe: l.observe}
	return g.Run(l.a.ctx)
}

func (l *pipeline) observe(s lifecycle.Step, done bool) {
	switch {
	case !done:
		l.a.printf("%s %s\n", l.a.paint("1", fmt.Sprintf("%-9s", s.Stage)), l.a.shorten(s.Reason))
	case s.Error == "" && s.Action != lifecycle.ActionSkip:
		l.a.printf("%-9s done in %s (run %s)\n", s.Stage, duration(s.Seconds), s.Run)
	}
}

// finishRun prints what came of it; a gate that said no has its own exit code.
func (l *pipeline) finishRun(steps []lifecycle.Step, err error) error {
	var h *lifecycle.Halt
	halted := errors.As(err, &h)
	if err != nil && !halted {
		return err
	}
	l.a.finish(map[string]any{"steps": steps}, func() {
		for _, s := range steps {
			if s.Stage == "gate" && len(s.Outputs) > 0 {
				if v, rerr := registry.ReadVerdict(l.a.ctx, l.store, s.Outputs[0]); rerr == nil {
					l.a.printVerdict(v)
				}
			}
		}
		l.printNext(steps, halted)
	})
	if halted {
		return &exitError{code: h.Code}
	}
	return nil
}

// printNext says where things are and what to do next.
func (l *pipeline) printNext(steps []lifecycle.Step, halted bool) {
	idle := true
	promoted := false
	for _, s := range steps {
		idle = idle && s.Action == lifecycle.ActionSkip
		if s.Stage == "eval" && len(s.Outputs) > 0 {
			if dir, err := l.store.Materialise(l.a.ctx, s.Outputs[0]); err == nil {
				l.a.printf("report: %s\n", l.a.rel(filepath.Join(dir, reportHTML)))
			}
		}
		promoted = promoted || s.Stage == "promote"
	}
	switch {
	case idle && halted:
		l.a.printf("nothing to do: every stage up to the gate is up to date, and its answer stands\n")
	case idle && len(steps) > 0:
		l.a.printf("nothing to do: every stage is up to date\n")
	case promoted:
		l.a.printf("next: dlm chat --adapter %s\n", l.alias())
	case !halted && l.golden.ID == "":
		l.a.printf("not evaluated: %s names no golden set; dlm golden split takes one out of a training file\n", l.p.File)
	}
}

// alias is the name that an adapter gets which passes the gate.
func (l *pipeline) alias() string {
	if l.p.Promote.Alias != "" {
		return l.p.Promote.Alias
	}
	return "prod"
}

func (l *pipeline) dryRun(nodes []lifecycle.Node) error {
	g := lifecycle.Graph{Store: l.store, State: l.p.State(), Nodes: nodes}
	steps, err := g.Plan(l.a.ctx)
	if err != nil {
		return err
	}
	l.a.finish(map[string]any{"steps": steps}, func() {
		total, peak := 0.0, int64(0)
		for _, s := range steps {
			l.a.printf("%-10s %-7s %s", s.Stage, s.Action, l.a.shorten(s.Reason))
			if e := s.Estimate; e != nil {
				l.a.printf("  (about %s, peak memory %s; %s)", duration(e.Seconds), byteSize(e.PeakBytes), e.Note)
				total, peak = total+e.Seconds, max(peak, e.PeakBytes)
			}
			l.a.printf("\n")
		}
		if total > 0 {
			l.a.printf("in all about %s, peak memory %s\n", duration(total), byteSize(peak))
		}
	})
	return nil
}

// baselineReport finds the report of a baseline that is an adapter; none when
// the baseline is an arm.
func (l *pipeline) baselineReport(ref string) (lifecycle.Input, error) {
	if ref == "" || ref == "best-arm" {
		return lifecycle.Input{}, nil
	}
	for _, arm := range l.p.Eval.Arms {
		if arm.String() == ref {
			return lifecycle.Input{}, nil
		}
	}
	art, err := l.a.findAdapter(ref)
	if err != nil {
		return lifecycle.Input{}, fmt.Errorf("gate.baseline %q is neither best-arm nor an arm of this project (%s), and %w", ref, strings.Trim(fmt.Sprint(l.p.Eval.Arms), "[]"), err)
	}
	reports, err := l.store.Artifacts(l.a.ctx, dlm.KindReport)
	if err != nil {
		return lifecycle.Input{}, err
	}
	elsewhere := ""
	for _, r := range reports {
		if hasParent(r, "adapter", art.ID) && hasParent(r, "golden", l.golden.ID) && hasParent(r, "base", l.base.ID) {
			if engine := cmp.Or(r.Params["engine"], "native"); engine != l.p.Engine {
				elsewhere = engine
				continue // what engines differ by is no difference of adapters
			}
			return lifecycle.Input{ID: r.ID}, nil
		}
	}
	if elsewhere != "" {
		return lifecycle.Input{}, fmt.Errorf("adapter %s (%s) has been evaluated by engine %s only, and this project's is %s: run \"dlm eval %s\" first", ref, art.ID.Short(), elsewhere, l.p.Engine, ref)
	}
	return lifecycle.Input{}, fmt.Errorf("adapter %s (%s) has not been evaluated on this golden set: run \"dlm eval %s\" first", ref, art.ID.Short(), ref)
}

func hasParent(a dlm.Artifact, role string, id dlm.Digest) bool {
	for _, p := range a.Parents {
		if p.Role == role && p.ID == id {
			return true
		}
	}
	return false
}
