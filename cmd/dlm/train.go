package main

import (
	"fmt"

	"dlm"
	"dlm/lifecycle"
)

// trainCmd checks the data and trains, unless the same work is done already.
type trainCmd struct {
	setFlags
	Method string `arg:"" optional:"" help:"sft (loss on completions), cpt (plain text), dpo, orpo (pairs), kto (labelled answers), grpo (rewards); default: train.method of dlm.yaml."`
	Name   string `help:"Name of the adapter (default: the project's)."`
	Plan   bool   `help:"Only print the plan: memory, steps, time on this machine."`

	ExportModal string `placeholder:"DIR" help:"With trainer trl: write a folder from which \"modal run\" trains the job on a GPU of Modal, and do not train."`
}

func (c *trainCmd) Run(a *app) error {
	set := c.Set
	if c.Method != "" {
		set = append([]string{"train.method=" + c.Method}, set...)
	}
	if c.Plan {
		if plan, ok, err := a.planUnseen(set); ok || err != nil {
			if err == nil {
				a.finish(plan, func() { a.printPlan(plan) })
			}
			return err
		}
	}
	l, err := a.newPipeline(set)
	if err != nil {
		return err
	}
	if c.Name != "" {
		l.adapterName = c.Name
	}
	if c.ExportModal != "" {
		return l.exportModal(c.ExportModal)
	}
	if c.Plan {
		plan, err := l.plan(a.ctx)
		if err != nil {
			return err
		}
		a.finish(plan, func() { a.printPlan(plan) })
		return nil
	}
	steps, err := l.run("dlm train", []lifecycle.Node{l.checkNode(), l.trainNode()})
	if err != nil {
		return err
	}
	last := steps[len(steps)-1]
	art, err := l.store.Artifact(a.ctx, last.Outputs[0])
	if err != nil {
		return err
	}
	dir, err := l.store.Materialise(a.ctx, art.ID)
	if err != nil {
		return err
	}
	run, err := l.store.Run(a.ctx, last.Run)
	if err != nil {
		return err
	}
	a.finish(map[string]any{"adapter": art, "folder": dir, "run": last.Run, "action": last.Action, "metrics": run.Metrics}, func() {
		a.printf("adapter %s (%s): %s\nnext: dlm eval %s\n", art.ID.Short(), art.Name, a.rel(dir), art.ID.Short())
	})
	return nil
}

// trainedAdapter is the adapter that the project's current settings made.
func (l *pipeline) trainedAdapter() (dlm.Digest, error) {
	g := lifecycle.Graph{Store: l.store, State: l.p.State(), Nodes: []lifecycle.Node{l.trainNode()}}
	g.Nodes[0].Estimate = nil
	steps, err := g.Plan(l.a.ctx)
	if err != nil {
		return "", err
	}
	s := steps[0]
	if s.Action != lifecycle.ActionSkip {
		return "", fmt.Errorf("there is no adapter of the present settings (%s): run \"dlm train %s\", or name one (see \"dlm adapters list\")", s.Reason, l.p.Train.Method)
	}
	runs, err := l.store.Run(l.a.ctx, s.Run)
	if err != nil {
		return "", err
	}
	return runs.Outputs[0], nil
}
