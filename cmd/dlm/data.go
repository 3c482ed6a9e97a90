package main

import (
	"dlm"
	"dlm/lifecycle"
	"dlm/stage/curate"
)

// dataCmd looks at training data.
type dataCmd struct {
	Check dataCheckCmd `cmd:"" help:"Format, mask preview, truncation, duplicates, leaks against the golden set."`
}

// dataCheckCmd refuses what would waste a run.
type dataCheckCmd struct {
	setFlags
	File     string  `arg:"" optional:"" help:"File to check (default: the project's data)."`
	Base     string  `help:"Base model (default: the project's)." placeholder:"REF"`
	Golden   string  `help:"Golden set to keep out (default: the project's)." placeholder:"FILE"`
	MaxLen   int     `placeholder:"N" help:"Tokens an example may have (default: the project's, else the base's context)."`
	Truncate bool    `help:"Accept truncated completions."`
	Near     float64 `placeholder:"SHARE" help:"Similarity to a golden prompt that refuses a row; 0 = 0.9, 1 = equal ones only."`
	Preview  int     `default:"3" help:"Rows to show with their mask."`
	Write    string  `help:"Write the rows that pass to this file, as JSONL." placeholder:"FILE"`
}

func (c *dataCheckCmd) Run(a *app) error {
	rows, items, o, err := c.read(a)
	if err != nil {
		return err
	}
	enc, err := a.encoder(c.Base)
	if err != nil {
		return err
	}
	r, err := curate.Check(a.ctx, rows, enc, items, o)
	if err != nil {
		return err
	}
	if c.Write != "" {
		if err := curate.WriteFile(c.Write, r.Passing(rows)); err != nil {
			return err
		}
		a.notef("%d of %d rows pass: %s", len(r.Passing(rows)), len(rows), c.Write)
	}
	if a.flags.JSON {
		a.printJSON(r)
	} else {
		if err := a.previewRows(enc, r.Passing(rows), c.Preview, o.MaxLen); err != nil {
			return err
		}
		if err := curate.WriteResult(a.stdout, r, curate.Style{Colour: a.color()}); err != nil {
			return err
		}
	}
	if r.Refused() {
		return &exitError{code: exitFailed}
	}
	return nil
}

// read returns the rows and golden items: of the file and flags, else the project's.
func (c *dataCheckCmd) read(a *app) ([]dlm.Row, []dlm.Item, curate.CheckOptions, error) {
	o := curate.CheckOptions{MaxLen: c.MaxLen, Truncate: c.Truncate, Near: c.Near}
	for _, f := range []struct{ what, path string }{{"FILE", c.File}, {"--golden", c.Golden}} {
		if f.path != "" {
			if err := needFile(f.what, f.path); err != nil {
				return nil, nil, o, err
			}
		}
	}
	p, err := a.project(c.Set)
	if err != nil && (c.File == "" || c.Base == "") {
		return nil, nil, o, err
	}
	var read curate.Options
	goldenFile := c.Golden
	files := []string{c.File}
	if p != nil {
		read = curate.Options{Format: curate.Format(p.Data.Format), Prompt: p.Data.Prompt, Completion: p.Data.Completion, System: p.System}
		if goldenFile == "" {
			goldenFile = a.rel(p.Path(p.Golden.File))
		}
		if o.MaxLen == 0 {
			o.MaxLen = p.Data.MaxLen
		}
		o.Truncate = o.Truncate || p.Data.Truncate
		if c.File == "" {
			o.Method = p.Train.Method
		}
		if c.File == "" {
			files = nil
			for _, f := range p.Data.Train {
				files = append(files, a.rel(p.Path(f)))
			}
		}
	}
	var rows []dlm.Row
	for _, f := range files {
		got, err := curate.Read(f, read)
		if err != nil {
			return nil, nil, o, err
		}
		rows = append(rows, got...)
	}
	if goldenFile == "" {
		return rows, nil, o, nil
	}
	set, err := lifecycle.OpenGolden(goldenFile)
	if err != nil {
		return nil, nil, o, err
	}
	return rows, set.Items, o, nil
}

// previewRows shows the first rows token by token, coloured by mask.
func (a *app) previewRows(enc dlm.Encoder, rows []dlm.Row, n, maxLen int) error {
	if a.flags.JSON {
		return nil
	}
	style := curate.Style{Colour: a.color()}
	for _, row := range rows[:min(n, len(rows))] {
		if err := curate.PreviewRow(a.stdout, enc, row, maxLen, style); err != nil {
			return err
		}
	}
	return nil
}
