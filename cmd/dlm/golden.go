package main

import (
	"path/filepath"

	"dlm/lifecycle"
	"dlm/stage/curate"
)

// goldenCmd looks after golden sets.
type goldenCmd struct {
	New   goldenNewCmd   `cmd:"" help:"Begin a golden set, or the history of one that is there."`
	Add   goldenAddCmd   `cmd:"" help:"Add the items of a file."`
	Split goldenSplitCmd `cmd:"" help:"Take items out of a training file into the golden set."`
	Lock  goldenLockCmd  `cmd:"" help:"Refuse all further edits."`
	Show  goldenShowCmd  `cmd:"" help:"Items, lock and history."`
}

type goldenNewCmd struct {
	File string `arg:"" help:"Golden set (JSONL)."`
	Name string `help:"Name (default: the file's)."`
	Note string `help:"Recorded in the history."`
}

func (c *goldenNewCmd) Run(a *app) error {
	name := c.Name
	if name == "" {
		base := filepath.Base(c.File)
		name = base[:len(base)-len(filepath.Ext(base))]
	}
	g, err := lifecycle.NewGolden(c.File, name, author(), c.Note)
	if err != nil {
		return err
	}
	return a.showGolden(g)
}

type goldenAddCmd struct {
	File string `arg:"" help:"Golden set."`
	From string `arg:"" help:"JSONL with further items."`
	Note string `help:"Recorded in the history."`
}

func (c *goldenAddCmd) Run(a *app) error {
	if err := needFile("FROM", c.From); err != nil {
		return err
	}
	g, err := lifecycle.OpenGolden(c.File)
	if err != nil {
		return err
	}
	if _, err := g.AddFile(c.From, author(), c.Note); err != nil {
		return err
	}
	return a.showGolden(g)
}

type goldenSplitCmd struct {
	Data   string  `arg:"" help:"Training file."`
	Golden string  `arg:"" help:"Golden set that the items go to; begun when it is not there."`
	Items  int     `default:"100" help:"How many."`
	Out    string  `help:"Where the remaining rows go (default: the training file itself, which must be JSONL)." placeholder:"FILE"`
	Seed   uint64  `default:"1" help:"Decides which."`
	Near   float64 `placeholder:"SHARE" help:"Rows this near to an item leave the training file too; 0 = 0.9."`
}

func (c *goldenSplitCmd) Run(a *app) error {
	if err := needFile("DATA", c.Data); err != nil {
		return err
	}
	out := c.Out
	if out == "" {
		out = c.Data
	}
	r, err := lifecycle.SplitGolden(lifecycle.SplitOptions{Data: c.Data, Read: a.readOptions(c.Data), Out: out, Golden: c.Golden, Items: c.Items, Seed: c.Seed, Author: author(), Near: c.Near})
	if err != nil {
		return err
	}
	a.finish(r, func() {
		a.printf("%d items -> %s\n%d rows -> %s\n", r.Items, r.Golden, r.Train, r.Out)
		if r.Equal+r.Near > 0 {
			a.printf("%d rows with an item's prompt and %d almost equal to one left the training file: %s\n", r.Equal, r.Near, r.Removed)
		}
		a.printf("next: dlm golden lock %s\n", r.Golden)
	})
	return nil
}

// readOptions says how the project reads this file, when it is one of its training files.
func (a *app) readOptions(file string) curate.Options {
	p, err := a.project(nil)
	if err != nil {
		return curate.Options{}
	}
	for _, f := range p.Data.Train {
		if a.rel(p.Path(f)) == filepath.Clean(file) || p.Path(f) == file {
			return curate.Options{Format: curate.Format(p.Data.Format), Prompt: p.Data.Prompt, Completion: p.Data.Completion}
		}
	}
	return curate.Options{}
}

type goldenLockCmd struct {
	File string `arg:"" help:"Golden set."`
	Note string `help:"Recorded in the history."`
}

func (c *goldenLockCmd) Run(a *app) error {
	g, err := lifecycle.OpenGolden(c.File)
	if err != nil {
		return err
	}
	if err := g.Lock(author(), c.Note); err != nil {
		return err
	}
	return a.showGolden(g)
}

type goldenShowCmd struct {
	File string `arg:"" optional:"" help:"Golden set (default: the project's)."`
}

func (c *goldenShowCmd) Run(a *app) error {
	file := c.File
	if file == "" {
		p, err := a.project(nil)
		if err != nil {
			return err
		}
		if p.Golden.File == "" {
			return usageError("the project names no golden set")
		}
		file = a.rel(p.Path(p.Golden.File))
	}
	g, err := lifecycle.OpenGolden(file)
	if err != nil {
		return err
	}
	return a.showGolden(g)
}

func (a *app) showGolden(g *lifecycle.GoldenSet) error {
	out := map[string]any{"path": g.Path, "name": g.Name, "items": len(g.Items), "locked": g.Locked, "modified": g.Modified, "version": g.Version(), "digest": g.Digest(), "history": g.History}
	a.finish(out, func() {
		state := "open"
		if g.Locked {
			state = "locked"
		}
		if g.Modified {
			state += ", edited by hand since the last entry"
		}
		a.printf("%s (%s): %d items, version %d, %s\n  %s\n", g.Path, g.Name, len(g.Items), g.Version(), state, g.Digest())
		for _, h := range g.History {
			a.printf("  %3d  %s  %-12s %-6s %5d items  %s\n", h.Version, h.At.Local().Format("2006-01-02 15:04"), h.Author, h.Action, h.Items, h.Note)
		}
	})
	return nil
}
