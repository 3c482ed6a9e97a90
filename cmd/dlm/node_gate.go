package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"dlm"
	"dlm/lifecycle"
	"dlm/stage/gate"
	"dlm/stage/registry"
)

// gateNode decides whether the adapter of an evaluation is no worse than the
// baseline by more than the margin. other is the report of the baseline when
// that is another adapter, else empty.
func (l *pipeline) gateNode(other lifecycle.Input) lifecycle.Node {
	inputs := []lifecycle.Input{{Role: "report", From: "eval", Kind: dlm.KindReport}}
	if other.ID != "" {
		other.Role = "baseline"
		inputs = append(inputs, other)
	}
	return lifecycle.Node{
		Name: "gate", Code: stageCode, Params: params(l.p.Gate), Inputs: inputs,
		Do: func(ctx context.Context, j *lifecycle.Job) ([]dlm.Artifact, error) {
			rec, err := l.decide(ctx, j)
			if err != nil {
				return nil, err
			}
			dir := filepath.Join(j.Dir, "verdict")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return nil, err
			}
			if err := registry.WriteVerdict(dir, rec); err != nil {
				return nil, err
			}
			art, err := j.Put(ctx, dlm.KindVerdict, rec.Candidate+" against "+rec.Baseline, 1, dir)
			return []dlm.Artifact{art}, err
		},
		After: func(ctx context.Context, outputs []dlm.Artifact) error {
			v, err := registry.ReadVerdict(ctx, l.store, outputs[0].ID)
			if err != nil || v.Exit == 0 {
				return err
			}
			return &lifecycle.Halt{Code: v.Exit, Reason: fmt.Sprintf("%s: %s", v.Outcome, v.Reason)}
		},
	}
}

// decide reads the reports and asks the gate.
func (l *pipeline) decide(ctx context.Context, j *lifecycle.Job) (registry.VerdictRecord, error) {
	var rec registry.VerdictRecord
	art, err := j.Input(ctx, "report")
	if err != nil {
		return rec, err
	}
	rep, err := l.a.reportOf(ctx, art.ID)
	if err != nil {
		return rec, err
	}
	cand, ok := adapterArm(rep)
	if !ok {
		return rec, fmt.Errorf("report %s evaluates no adapter", art.ID.Short())
	}
	base := gate.Side{Report: rep, Arm: l.p.Gate.Baseline}
	if b, err := j.Input(ctx, "baseline"); err == nil {
		if base.Report, err = l.a.reportOf(ctx, b.ID); err != nil {
			return rec, err
		}
		arm, ok := adapterArm(base.Report)
		if !ok {
			return rec, fmt.Errorf("report %s, of the baseline, evaluates no adapter", b.ID.Short())
		}
		base.Arm, rec.BaselineAdapter = arm.Name, arm.Adapter
	} else if l.p.Gate.Baseline == "best-arm" {
		arm, err := gate.BestBaseline(rep, rep.Primary)
		if err != nil {
			return rec, err
		}
		base.Arm = arm.Name
	}
	rec.Verdict, err = gate.DecideReports(gate.Side{Report: rep, Arm: cand.Name}, base, gate.Options{
		Metric: rep.Primary, Margin: float64(l.p.Gate.MaxDrop), Level: l.p.Gate.Level, Seed: 1,
	})
	if err != nil {
		return rec, err
	}
	policy, err := gate.ParsePolicy(l.p.Gate.OnInconclusive)
	if err != nil {
		return rec, err
	}
	rec.Adapter, rec.Report, rec.Golden, rec.OnInconclusive = cand.Adapter, art.ID, rep.Golden, l.p.Gate.OnInconclusive
	rec.Exit, _ = gate.Exit(rec.Verdict, policy)
	return rec, nil
}

// adapterArm is the arm that an adapter answered.
func adapterArm(r dlm.Report) (dlm.Arm, bool) {
	for _, a := range r.Arms {
		if a.Adapter != "" {
			return a, true
		}
	}
	return dlm.Arm{}, false
}

// promoteNode moves the project's alias to an adapter whose gate allows it.
func (l *pipeline) promoteNode(adapter lifecycle.Input) lifecycle.Node {
	adapter.Role = "adapter"
	alias := l.p.Promote.Alias
	return lifecycle.Node{
		Name: "promote", Code: stageCode, Params: map[string]string{"alias": alias},
		Inputs: []lifecycle.Input{adapter, {Role: "verdict", From: "gate", Kind: dlm.KindVerdict}},
		UpToDate: func(ctx context.Context, inputs []dlm.Parent) (bool, string, error) {
			now, ok, err := registry.Current(ctx, l.store, alias)
			if err != nil || !ok {
				return false, alias + " points at nothing yet", err
			}
			if now.Adapter == inputs[0].ID {
				return true, fmt.Sprintf("skipped: %s points at adapter %s already", alias, now.Adapter.Short()), nil
			}
			return false, fmt.Sprintf("%s moves from %s to %s", alias, now.Adapter.Short(), inputs[0].ID.Short()), nil
		},
		Do: func(ctx context.Context, j *lifecycle.Job) ([]dlm.Artifact, error) {
			in := j.Inputs()
			c, err := registry.Promote(ctx, l.store, registry.Promotion{Alias: alias, Adapter: in[0].ID, Verdict: in[1].ID})
			if err != nil {
				return nil, err
			}
			l.a.printf("%s -> %s\n", c.Alias, c.Adapter.Short())
			art, err := l.store.Artifact(ctx, c.Adapter)
			if err != nil {
				return nil, err
			}
			return nil, l.a.noteShadowed(l.store, c, art.Name)
		},
	}
}

// printVerdict shows a gate's decision with what it rests on.
func (a *app) printVerdict(v registry.VerdictRecord) {
	a.printf("%s against %s on %s, %d items paired\n", v.Candidate, v.Baseline, v.Metric, v.N)
	a.printf("difference %+.1f points, %.0f%% interval %+.1f to %+.1f (%s); allowed drop %.1f points\n",
		100*v.Difference, 100*v.Level, 100*v.Low, 100*v.High, v.Method, 100*v.Margin)
	a.printf("%d items fixed, %d broken; McNemar p = %.2g (information only: it tests against zero)\n", len(v.Fixed), len(v.Broken), v.McNemarP)
	a.printf("gate: %s - %s\n", a.paint(outcomeColor(v.Outcome), string(v.Outcome)), v.Reason)
}

func outcomeColor(o dlm.Outcome) string {
	switch o {
	case dlm.Pass:
		return "32"
	case dlm.Fail:
		return "31"
	}
	return "33"
}

// paint colours text where colours are wanted; code is an ANSI colour.
func (a *app) paint(code, s string) string {
	if !a.color() {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
