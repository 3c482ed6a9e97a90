package main

import (
	"strings"

	"dlm/driver/trl"
	"dlm/lifecycle"
)

// examineTrainer looks at the environment of trainer: trl, where the project says
// that or the environment is installed; otherwise it is nil.
func (a *app) examineTrainer(p *lifecycle.Project) *trl.Environment {
	wanted := p != nil && p.Trainer == lifecycle.TrainerTRL
	if wanted && p.TRL.Place() == lifecycle.WhereSSH {
		return a.examineBox(p)
	}
	python, err := trainerPython(p)
	switch {
	case err != nil && !wanted:
		return nil
	case err != nil:
		return &trl.Environment{Interpreter: python.Path, From: python.From, Packages: map[string]string{}, Errors: map[string]string{}, Devices: []trl.GPU{},
			Findings: []trl.Finding{{Fatal: true, Text: err.Error()}}}
	}
	var needs trl.Needs
	if wanted {
		needs = trl.Needs{NF4: p.Quantize == "nf4", Unsloth: p.TRL.Unsloth}
	}
	a.notef("asking %s what it can train with", python.Path)
	e := trl.Examine(a.ctx, python, needs)
	return &e
}

// examineBox looks at the environment on the machine that the project trains on.
func (a *app) examineBox(p *lifecycle.Project) *trl.Environment {
	python := boxPython(p.TRL)
	box, err := trl.NewSSH(sshOptions(p, func(s string) { a.notef("%s", s) }))
	if err != nil { // the project file is checked
		return &trl.Environment{Interpreter: python, Findings: []trl.Finding{{Fatal: true, Text: err.Error()}}}
	}
	defer box.Close()
	a.notef("asking %s on %s what it can train with", python, p.TRL.Host)
	e := box.Examine(a.ctx, python, trl.Needs{NF4: p.Quantize == "nf4", Unsloth: p.TRL.Unsloth})
	return &e
}

func (a *app) printTrainer(e *trl.Environment) {
	a.printf("trl        %s\n", e.Interpreter)
	if e.From != "" {
		a.printf("           named by %s\n", e.From)
	}
	if e.Python != "" {
		a.printf("           Python %s", e.Python)
		for _, name := range []string{"torch", "transformers", "peft", "trl", "bitsandbytes"} {
			if v := e.Packages[name]; v != "" {
				a.printf(", %s %s", name, v)
			}
		}
		if e.Unsloth {
			a.printf(", unsloth")
		}
		a.printf("\n")
	}
	for _, d := range e.Devices {
		a.printf("           %s, %s, compute capability %s\n", d.Name, byteSize(d.Bytes), d.Capability)
	}
	if e.CUDA {
		a.printf("           CUDA %s, driver %s\n", e.CUDABuilt, orDash(e.Driver))
	}
	if e.DiskFree > 0 {
		a.printf("           %s of disk space free\n", byteSize(e.DiskFree))
	}
	for _, f := range e.Findings {
		mark := "note"
		if f.Fatal {
			mark = "missing"
		}
		a.printf("  %-8s %s", mark, f.Text)
		if f.Next != "" {
			a.printf("\n           next: %s", strings.TrimSpace(f.Next))
		}
		a.printf("\n")
	}
	if e.Ready() {
		a.printf("           ready to train\n")
	}
}
