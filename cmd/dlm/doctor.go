package main

import (
	"errors"
	"runtime"

	"dlm"
	"dlm/driver/native"
	"dlm/driver/trl"
	"dlm/driver/vllm"
	"dlm/lifecycle"
)

// doctorCmd says what this machine can run, and what the project will cost.
type doctorCmd struct {
	setFlags
	Plan bool `help:"Also load the project's base and measure a training step."`
}

// doctorOut is the command's JSON.
type doctorOut struct {
	Version string           `json:"version"`
	Go      string           `json:"go"`
	Machine native.Machine   `json:"machine"`
	Project string           `json:"project,omitempty"`
	VLLM    *vllm.Found      `json:"vllm,omitempty"`
	Plan    *dlm.TrainPlan   `json:"plan,omitempty"`
	Base    *dlm.PulledModel `json:"base,omitempty"`
	Trainer *trl.Environment `json:"trainer,omitempty"`
}

func (c *doctorCmd) Run(a *app) error {
	m, err := native.Inspection(a.flags.Threads)
	if err != nil {
		return err
	}
	out := doctorOut{Version: version(), Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH, Machine: m}
	p, err := a.project(c.Set)
	switch {
	case err == nil:
		out.Project = p.File
	case !errors.Is(err, lifecycle.ErrNoProject):
		return err
	case c.Plan:
		return err
	}
	out.VLLM = a.inspectVLLM(p)
	out.Trainer = a.examineTrainer(p)
	if c.Plan {
		l, err := a.newPipeline(c.Set)
		if err != nil {
			return err
		}
		plan, err := l.plan(a.ctx)
		if err != nil {
			return err
		}
		out.Plan, out.Base = &plan, &l.pulled
	}
	a.finish(out, func() { c.print(a, out) })
	return nil
}

func (c *doctorCmd) print(a *app, out doctorOut) {
	m := out.Machine
	a.printf("dlm %s, %s\n", out.Version, out.Go)
	a.printf("processor  %s\nthreads    %d (%s)\nmemory     %s free of %s\n", m.CPU, m.Threads, m.ThreadsWhy, byteSize(m.MemoryFree), byteSize(m.MemoryTotal))
	for _, s := range m.Kernels {
		mark := " "
		if s.Name == m.Chosen {
			mark = "*"
		}
		a.printf("kernels  %s %-11s %s\n", mark, s.Name, s.Why)
	}
	if v := out.VLLM; v != nil {
		a.printf("vLLM       %s\n", vllmLine(*v))
	}
	if out.Trainer != nil {
		a.printTrainer(out.Trainer)
	}
	if out.Project == "" {
		a.printf("project    none here; dlm init begins one\n")
		return
	}
	a.printf("project    %s\n", a.rel(out.Project))
	if out.Plan != nil {
		a.printf("base       %s from %s (%s)\n", out.Base.Ref, out.Base.Source, out.Base.Digest.Short())
		a.printPlan(*out.Plan)
		return
	}
	a.printf("next: dlm doctor --plan measures a training step of it\n")
}

// vllmLine says where a vLLM is, or what is wrong with it.
func vllmLine(v vllm.Found) string {
	where := v.URL
	if where == "" {
		where = v.Python
	}
	switch {
	case v.Problem != "" && where == "":
		return v.Problem
	case v.Problem != "":
		return where + " " + v.Problem
	case v.Torch != "":
		return v.Version + ", torch " + v.Torch + " (" + where + ")"
	}
	return v.Version + " (" + where + ")"
}
