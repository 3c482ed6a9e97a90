package main

import (
	"dlm"
	"dlm/lifecycle"
)

// lineageCmd tells what an artifact was made from.
type lineageCmd struct {
	ID string `arg:"" help:"Alias, name, digest or prefix of any artifact."`
}

func (c *lineageCmd) Run(a *app) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	var id dlm.Digest
	if alias, err := s.Alias(a.ctx, c.ID); err == nil {
		id = alias.Adapter
	} else {
		art, err := s.Find(a.ctx, "", c.ID)
		if err != nil {
			return err
		}
		id = art.ID
	}
	l, err := lifecycle.Trace(a.ctx, s, id)
	if err != nil {
		return err
	}
	a.finish(l, func() { a.printf("%s", l.Tree()) })
	return nil
}
