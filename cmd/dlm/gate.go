package main

import (
	"errors"

	"dlm/lifecycle"
	"dlm/stage/registry"
)

// gateCmd decides whether an adapter may replace what there is.
type gateCmd struct {
	setFlags
	Candidate string `arg:"" optional:"" help:"Alias, name, digest or prefix (default: the adapter of the present settings)."`
	Baseline  string `help:"best-arm, an arm's name, or an adapter (default: gate.baseline of dlm.yaml)." placeholder:"REF"`
	MaxDrop   string `help:"How much worse it may be, in percentage points: 2pp (default: gate.max_drop of dlm.yaml)." placeholder:"POINTS"`
}

func (c *gateCmd) Run(a *app) error {
	set := c.Set
	if c.Baseline != "" {
		set = append(set, "gate.baseline="+c.Baseline)
	}
	if c.MaxDrop != "" {
		set = append(set, "gate.max_drop="+c.MaxDrop)
	}
	l, err := a.newPipeline(set)
	if err != nil {
		return err
	}
	if err := l.needGolden(); err != nil {
		return err
	}
	id, err := l.adapterID(c.Candidate)
	if err != nil {
		return err
	}
	other, err := l.baselineReport(l.p.Gate.Baseline)
	if err != nil {
		return err
	}
	nodes := []lifecycle.Node{l.baselinesNode(), l.evalNode(lifecycle.Input{ID: id}), l.gateNode(other)}
	steps, err := l.run("dlm gate", nodes)
	var h *lifecycle.Halt
	if err != nil && !errors.As(err, &h) {
		return err
	}
	v, rerr := registry.ReadVerdict(a.ctx, l.store, steps[len(steps)-1].Outputs[0])
	if rerr != nil {
		return rerr
	}
	a.finish(v, func() {
		a.printVerdict(v)
		if v.Allows() {
			a.printf("next: dlm adapters promote %s --alias %s\n", id.Short(), l.alias())
		}
	})
	if h != nil {
		return &exitError{code: h.Code}
	}
	return nil
}
