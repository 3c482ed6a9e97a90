package main

import (
	"fmt"
	"os"

	"dlm"
	"dlm/driver/sqlite"
	"dlm/lifecycle"
)

// setFlags override fields of dlm.yaml.
type setFlags struct {
	Set []string `help:"Override a field of dlm.yaml: train.lr=1e-4. May be given several times." placeholder:"FIELD=VALUE" sep:"none"`
}

// project reads dlm.yaml, with overrides on top.
func (a *app) project(set []string) (*lifecycle.Project, error) {
	dir := a.flags.Project
	if dir == "" {
		var err error
		if dir, err = os.Getwd(); err != nil {
			return nil, err
		}
	}
	file, err := lifecycle.Discover(dir)
	if err != nil {
		return nil, err
	}
	return lifecycle.Load(file, set)
}

// store opens the project's store once.
func (a *app) store() (*sqlite.Store, error) {
	if a.db != nil {
		return a.db, nil
	}
	p, err := a.project(nil)
	if err != nil {
		return nil, err
	}
	s, err := sqlite.Open(a.ctx, p.State(), "")
	if err != nil {
		return nil, err
	}
	a.db = s
	a.onClose(s.Close)
	return s, nil
}

// lock takes the project for this process: one writes at a time.
func (a *app) lock(p *lifecycle.Project, command string) error {
	l, err := lifecycle.Acquire(p.State(), command)
	if err != nil {
		return err
	}
	a.onClose(l.Release)
	return nil
}

// findAdapter resolves an alias, a name, a digest or a prefix of one.
func (a *app) findAdapter(ref string) (dlm.Artifact, error) {
	s, err := a.store()
	if err != nil {
		return dlm.Artifact{}, fmt.Errorf("adapter %q is no PEFT folder, and %w", ref, err)
	}
	if c, err := s.Alias(a.ctx, ref); err == nil {
		return s.Artifact(a.ctx, c.Adapter)
	}
	art, err := s.Find(a.ctx, dlm.KindAdapter, ref)
	if err != nil {
		return art, fmt.Errorf("adapter %q: no alias, name, digest or PEFT folder: %w (see \"dlm adapters list\")", ref, err)
	}
	return art, nil
}
