package main

import (
	"path/filepath"

	"dlm"
	"dlm/lifecycle"
	"dlm/stage/gate"
)

// evalCmd evaluates the baselines and an adapter on the golden set.
type evalCmd struct {
	setFlags
	Adapter       string `arg:"" optional:"" help:"Alias, name, digest or prefix (default: the adapter of the present settings)."`
	BaselinesOnly bool   `help:"Only the arms that need no adapter."`
	Show          int    `default:"5" help:"Items fixed and broken to print."`
}

func (c *evalCmd) Run(a *app) error {
	l, err := a.newPipeline(c.Set)
	if err != nil {
		return err
	}
	if err := l.needGolden(); err != nil {
		return err
	}
	nodes := []lifecycle.Node{l.baselinesNode()}
	if !c.BaselinesOnly {
		id, err := l.adapterID(c.Adapter)
		if err != nil {
			return err
		}
		nodes = append(nodes, l.evalNode(lifecycle.Input{ID: id}))
	}
	steps, err := l.run("dlm eval", nodes)
	if err != nil {
		return err
	}
	id := steps[len(steps)-1].Outputs[0]
	rep, err := a.reportOf(a.ctx, id)
	if err != nil {
		return err
	}
	dir, err := l.store.Materialise(a.ctx, id)
	if err != nil {
		return err
	}
	if a.flags.JSON {
		a.printJSON(map[string]any{"report": rep, "id": id, "json": filepath.Join(dir, reportJSON), "html": filepath.Join(dir, reportHTML)})
		return nil
	}
	candidate, baseline := compareArms(rep)
	if err := a.printReport(rep, candidate, baseline, c.Show); err != nil {
		return err
	}
	a.printf("report: %s\n", a.rel(filepath.Join(dir, reportHTML)))
	if candidate != "" {
		arm, _ := rep.Arm(candidate)
		a.printf("next: dlm gate %s\n", arm.Adapter.Short())
	}
	return nil
}

// compareArms names the adapter's arm and the best of the others.
func compareArms(r dlm.Report) (candidate, baseline string) {
	arm, ok := adapterArm(r)
	if !ok {
		return "", ""
	}
	best, err := gate.BestBaseline(r, r.Primary)
	if err != nil {
		return arm.Name, ""
	}
	return arm.Name, best.Name
}

// adapterID resolves a reference, or finds the present settings' adapter.
func (l *pipeline) adapterID(ref string) (dlm.Digest, error) {
	if ref == "" {
		return l.trainedAdapter()
	}
	art, err := l.a.findAdapter(ref)
	return art.ID, err
}
