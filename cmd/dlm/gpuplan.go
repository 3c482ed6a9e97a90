package main

import (
	"fmt"

	"dlm"
	"dlm/driver/hub"
	"dlm/driver/native"
	"dlm/driver/trl"
	"dlm/lifecycle"
	"dlm/stage/curate"
)

// plannedMemory says what training takes on a GPU that is not known yet, from the
// sizes of a known base.
func plannedMemory(base string, r dlm.Recipe, quantize string) string {
	s, ok := trl.KnownShape(base)
	if !ok {
		return ""
	}
	m, err := trl.Memory{Shape: s, Recipe: r, Quantize: quantize, Tokens: r.MaxLen}.Choose()
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s; the adapter: %.1f million parameters, %s in bf16", m.About(), float64(m.Trained())/1e6, byteSize(2*m.Trained()))
}

// planUnseen plans a project whose base is large and not on this machine, from the
// base's known sizes, so that nothing is fetched to learn that it does not fit.
// ok is false where the usual plan is to be made.
func (a *app) planUnseen(set []string) (plan dlm.TrainPlan, ok bool, err error) {
	p, err := a.project(set)
	if err != nil || p.Trainer != lifecycle.TrainerTRL {
		return plan, false, err
	}
	shape, known := trl.KnownShape(p.Base)
	if !known || a.isHere(projectBase(p)) {
		return plan, false, nil
	}
	l := &pipeline{a: a, p: p}
	if err := l.readRows(); err != nil {
		return plan, true, err
	}
	r := p.Recipe()
	m := trl.Memory{Shape: shape, Recipe: r, Quantize: p.Quantize, Tokens: r.MaxLen, Processes: p.TRL.Processes}
	if m.Device, err = l.planDevice(); err != nil {
		return plan, true, err
	}
	if m, err = m.Choose(); err != nil {
		return plan, true, err
	}
	plan = m.Plan(len(l.rows))
	plan.Warnings = append(plan.Warnings, fmt.Sprintf("the base is not on this machine (dlm pull %s), so rows are taken to have max_len tokens each", p.Base))
	return plan, true, nil
}

// planDevice is the device that the project trains on, without an interpreter.
func (l *pipeline) planDevice() (trl.Device, error) {
	switch l.p.TRL.Place() {
	case lifecycle.WhereSSH:
		box, err := trl.NewSSH(sshOptions(l.p, func(s string) { l.a.notef("%s", s) }))
		if err != nil {
			return trl.Device{}, err
		}
		defer box.Close()
		d, err := box.Device(l.a.ctx)
		if err != nil {
			l.a.notef("what memory it has is not known: %v", err)
		}
		return d, nil
	case lifecycle.WhereRay:
		return trl.Device{}, nil
	}
	m, err := native.Inspection(l.a.flags.Threads)
	return trl.LocalDevice(l.a.ctx, m.MemoryTotal), err
}

// isHere says whether a base can be had without asking anyone.
func (a *app) isHere(ref string) bool {
	h, err := hub.New(hub.Options{Version: version(), Inspect: native.Inspect, Offline: true})
	if err != nil {
		return false
	}
	_, err = h.Pull(a.ctx, ref, nil)
	return err == nil
}

// readRows reads the training rows, without a store.
func (l *pipeline) readRows() error {
	o := curate.Options{Format: curate.Format(l.p.Data.Format), Prompt: l.p.Data.Prompt, Completion: l.p.Data.Completion, System: l.p.System}
	for _, path := range l.p.Data.Train {
		rows, err := curate.Read(l.a.rel(l.p.Path(path)), o)
		if err != nil {
			return err
		}
		l.rows = append(l.rows, rows...)
	}
	if l.p.Data.HeldOut.File == "" {
		l.rows, l.heldRows = lifecycle.SplitHeld(l.rows, l.p.Data.HeldOut, l.p.Train.Seed)
	}
	return nil
}
