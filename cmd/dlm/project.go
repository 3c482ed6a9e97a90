package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"dlm"
	"dlm/driver/sqlite"
	"dlm/lifecycle"
	"dlm/stage/registry"
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
	if _, err := os.Stat(dir); err != nil {
		return nil, usageError("--project: %s is not there; expected a folder that holds dlm.yaml, or one below it", dir)
	}
	file, err := lifecycle.Discover(dir)
	if err != nil {
		return nil, err
	}
	return lifecycle.Load(a.rel(file), set)
}

// projectBase is the project's base: a path in dlm.yaml is relative to its folder.
func projectBase(p *lifecycle.Project) string {
	if _, err := os.Stat(p.Path(p.Base)); err == nil || strings.HasPrefix(p.Base, ".") {
		return p.Path(p.Base)
	}
	return p.Base
}

// needFile refuses a path at which there is no file; what says which one it is.
func needFile(what, path string) error {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return usageError("%s: %s is not there; expected a file, relative to the current folder", what, path)
	case err != nil:
		return usageError("%s: %w", what, err)
	case info.IsDir():
		return usageError("%s: %s is a folder; expected a file", what, path)
	}
	return nil
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
	p, err := a.project(nil)
	if err != nil {
		return dlm.Artifact{}, err
	}
	art, err := registry.Resolve(a.ctx, s, p.Name, ref)
	if err != nil {
		if errors.Is(err, registry.ErrUnknown) {
			return art, fmt.Errorf("adapter %w", err)
		}
		if errors.Is(err, sqlite.ErrNotFound) {
			return art, fmt.Errorf("adapter %q: not found; expected an alias, a name, NAME@ALIAS, a digest or its first four digits, or a PEFT folder (see \"dlm adapters list\")", ref)
		}
		return art, err
	}
	return art, nil
}
