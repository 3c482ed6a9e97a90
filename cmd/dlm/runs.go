package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dlm"
	"dlm/lifecycle"
)

// runsCmd looks after runs.
type runsCmd struct {
	List    runsListCmd    `cmd:"" default:"1" help:"All runs, newest first."`
	Show    runsShowCmd    `cmd:"" help:"One run: settings, inputs, outputs, metrics."`
	Compare runsCompareCmd `cmd:"" help:"Two runs of one stage side by side."`
	Stop    runsStopCmd    `cmd:"" help:"Ask a run to write its checkpoint and stop."`
	Resume  runsResumeCmd  `cmd:"" help:"Go on with a run that was stopped or cut off."`
}

type runsListCmd struct{}

func (c *runsListCmd) Run(a *app) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	runs, err := s.Runs(a.ctx)
	if err != nil {
		return err
	}
	a.finish(map[string]any{"runs": runs}, func() {
		if len(runs) == 0 {
			a.printf("no runs yet\n")
		}
		for _, r := range runs {
			a.printf("%-22s %-10s %-8s %s  %s\n", r.ID, r.Stage, r.Status, r.Started.Local().Format("2006-01-02 15:04:05"), runTook(r))
		}
	})
	return nil
}

func runTook(r dlm.Run) string {
	end := r.Ended
	if end.IsZero() {
		end = time.Now()
	}
	return duration(end.Sub(r.Started).Seconds())
}

type runsShowCmd struct {
	ID string `arg:"" help:"Run id, or a unique prefix."`
}

func (c *runsShowCmd) Run(a *app) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	r, err := s.Run(a.ctx, c.ID)
	if err != nil {
		return err
	}
	a.finish(r, func() {
		a.printf("run      %s\nstage    %s\nstatus   %s\nstarted  %s\ntook     %s\nfolder   %s\n", r.ID, r.Stage, r.Status,
			r.Started.Local().Format(time.RFC3339), runTook(r), lifecycle.RunDir(s.Dir(), r))
		if r.Error != "" {
			a.printf("error    %s\n", r.Error)
		}
		for _, k := range slices.Sorted(maps.Keys(r.Params)) {
			a.printf("setting  %-16s %s\n", k, r.Params[k])
		}
		for _, p := range r.Inputs {
			a.printf("from     %-16s %s\n", p.Role, p.ID)
		}
		for _, o := range r.Outputs {
			a.printf("made     %s\n", o)
		}
		for _, k := range slices.Sorted(maps.Keys(r.Metrics)) {
			a.printf("metric   %-16s %g\n", k, r.Metrics[k])
		}
	})
	return nil
}

type runsCompareCmd struct {
	A string `arg:"" help:"Run id."`
	B string `arg:"" help:"Run id."`
}

func (c *runsCompareCmd) Run(a *app) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	cmp, err := lifecycle.CompareRuns(a.ctx, s, c.A, c.B)
	if err != nil {
		return err
	}
	a.finish(cmp, func() {
		a.printf("%s and %s, both %s\n", cmp.A.ID, cmp.B.ID, cmp.A.Stage)
		for _, ch := range cmp.Changes {
			a.printf("  %s\n", ch)
		}
		for _, m := range cmp.Metrics {
			a.printf("  %-18s %s -> %s\n", m.Name, numberText(m.A), numberText(m.B))
		}
	})
	return nil
}

func numberText(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.4g", *v)
}

type runsStopCmd struct {
	ID   string        `arg:"" help:"Run id."`
	Wait time.Duration `default:"2m" help:"How long to wait for it."`
}

func (c *runsStopCmd) Run(a *app) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	r, err := lifecycle.StopRun(a.ctx, s, s.Dir(), c.ID, c.Wait)
	if err != nil {
		return err
	}
	a.finish(r, func() { a.printf("run %s is %s; go on with: dlm runs resume %s\n", r.ID, r.Status, r.ID) })
	return nil
}

type runsResumeCmd struct {
	ID string `arg:"" help:"Run id."`
}

// Run makes the run's stage again with the settings that are recorded of it:
// the graph then finds the run by its key and goes on with it.
func (c *runsResumeCmd) Run(a *app) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	r, err := lifecycle.Resumable(a.ctx, s, c.ID)
	if err != nil {
		return err
	}
	l, err := a.newPipeline(settingsOf(r))
	if err != nil {
		return err
	}
	nodes, err := l.nodesFor(r)
	if err != nil {
		return err
	}
	last := nodes[len(nodes)-1]
	if key := lifecycle.Key(last.Name, last.Code, last.Params, r.Inputs); key != r.Key {
		return fmt.Errorf("run %s cannot be resumed: its inputs, or settings outside of the stage, have changed since; start a new one with dlm %s", r.ID, r.Stage)
	}
	steps, err := l.run("dlm runs resume", nodes)
	return l.finishRun(steps, err)
}

// settingsOf turns what is recorded of a run into overrides of dlm.yaml.
func settingsOf(r dlm.Run) []string {
	section := map[string]string{"train": "train", "baselines": "eval", "eval": "eval", "gate": "gate"}[r.Stage]
	var set []string
	for _, k := range slices.Sorted(maps.Keys(r.Params)) {
		v := r.Params[k]
		switch {
		case section == "" || k == "code" || v == "null" || v == "" || strings.HasPrefix(v, "{"):
			continue
		case strings.HasPrefix(v, "[") && section != "train" && !strings.HasPrefix(k, "vllm_"): // scorers and arms have forms of their own
			continue
		case k == "reward_scorers": // of eval, and not to be set by text
			continue
		case k == "max_len" || k == "truncate":
			set = append(set, "data."+k+"="+v)
		case k == "trainer":
			set = append(set, "trainer="+v)
		case k == "unsloth":
			set = append(set, "trl.unsloth="+v)
		case k == "engine":
			set = append(set, "engine="+v)
		case strings.HasPrefix(k, "vllm_"):
			set = append(set, "vllm."+strings.TrimPrefix(k, "vllm_")+"="+v)
		case k == "precision":
			set = append(set, "train.precision="+v)
		default:
			set = append(set, section+"."+k+"="+v)
		}
	}
	return set
}

// nodesFor returns the stages up to the one that a run belongs to, with its
// adapter where it had one.
func (l *pipeline) nodesFor(r dlm.Run) ([]lifecycle.Node, error) {
	var adapter lifecycle.Input
	for _, in := range r.Inputs {
		if in.Role == "adapter" {
			adapter.ID = in.ID
		}
	}
	switch r.Stage {
	case "check":
		return []lifecycle.Node{l.checkNode()}, nil
	case "train":
		return []lifecycle.Node{l.trainNode()}, nil
	case "baselines":
		return []lifecycle.Node{l.baselinesNode()}, nil
	case "eval":
		return []lifecycle.Node{l.baselinesNode(), l.evalNode(adapter)}, nil
	}
	return nil, fmt.Errorf("a %s is over in a moment: run \"dlm %s\" again", r.Stage, r.Stage)
}
