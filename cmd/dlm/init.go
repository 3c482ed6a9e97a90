package main

import (
	"os"
	"path/filepath"
	"strings"

	"dlm/lifecycle"
	"dlm/stage/curate"
)

// initCmd begins a project.
type initCmd struct {
	Dir        string `arg:"" optional:"" default:"." help:"Folder of the project."`
	From       string `help:"Your own file: CSV, TSV, Alpaca, ShareGPT, OpenAI or TRL JSONL." placeholder:"FILE"`
	Name       string `help:"Name of the project (default: the folder's)."`
	Base       string `help:"Base model (default: smollm2-135m-instruct)." placeholder:"REF"`
	Format     string `help:"Shape of --from, where it is not recognised."`
	Prompt     string `help:"Column of the prompt, for tables."`
	Completion string `help:"Column of the completion, for tables."`
	System     string `help:"System message for every row."`
	Profile    string `placeholder:"NAME" help:"Begin with a recipe: qwen2.5-7b-qlora, llama-3.1-8b-qlora; \"list\" says what they are."`
	Golden     int    `placeholder:"N" help:"Items to take out into the golden set; 0 = chosen."`
	NoGolden   bool   `help:"Take no golden set out of --from."`
	Seed       uint64 `default:"1" help:"Decides which items go into the golden set."`
	Preview    int    `default:"3" help:"Rows to show as the base will see them."`
}

func (c *initCmd) Run(a *app) error {
	if c.Profile == "list" {
		a.finish(map[string]any{"profiles": lifecycle.Profiles}, func() {
			for _, p := range lifecycle.Profiles {
				a.printf("%-20s %s\n%-20s %s\n", p.Name, p.Base, "", p.About)
			}
		})
		return nil
	}
	if c.From != "" {
		if err := needFile("--from", c.From); err != nil {
			return err
		}
	}
	base, err := c.base()
	if err != nil {
		return err
	}
	if c.NoGolden {
		c.Golden = -1
	}
	r, err := lifecycle.Init(lifecycle.InitOptions{
		Dir: c.Dir, Name: c.Name, Base: base, From: c.From, Golden: c.Golden, Seed: c.Seed, Author: author(), Profile: c.Profile, Memory: plannedMemory,
		Read: curate.Options{Format: curate.Format(c.Format), Prompt: c.Prompt, Completion: c.Completion, System: c.System},
	})
	if err != nil {
		return err
	}
	if a.flags.JSON {
		a.printJSON(r)
		return nil
	}
	for _, n := range r.Notes {
		a.printf("%s\n", n)
	}
	for _, f := range r.Files {
		a.printf("wrote %s\n", f)
	}
	if c.Profile != "" { // its base is not fetched for a look at three rows
		a.printf("next: dlm trainer install trl; dlm train sft --plan; dlm pull BASE (15 GB) when that fits\n")
		return nil
	}
	if err := c.preview(a, r); err != nil {
		return err
	}
	cd := ""
	if dir := filepath.Dir(r.Project); dir != "." {
		cd = "cd " + dir + " && "
	}
	a.printf("next: %sdlm data check && dlm run --dry-run\n", cd)
	return nil
}

// base is --base as dlm.yaml writes it: a path is relative to the project's folder.
func (c *initCmd) base() (string, error) {
	if _, err := os.Stat(c.Base); c.Base == "" || err != nil || filepath.IsAbs(c.Base) {
		return c.Base, nil
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return "", err
	}
	file, err := filepath.Abs(c.Base)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(dir, file)
	if err != nil {
		return file, nil // on another volume
	}
	rel = filepath.ToSlash(rel)
	if !strings.HasPrefix(rel, "../") {
		rel = "./" + rel
	}
	return rel, nil
}

// preview shows rows as the base will see them. A base that cannot be had now is
// no reason to fail: the project is written.
func (c *initCmd) preview(a *app, r lifecycle.InitResult) error {
	if c.Preview <= 0 || len(r.Sample) == 0 {
		return nil
	}
	p, err := lifecycle.Load(r.Project, nil)
	if err != nil {
		return err
	}
	n, _, err := a.openQuantized(projectBase(p), "bf16", p.Quantize)
	if err != nil {
		a.notef("no preview of the rows: %v", err)
		return nil
	}
	a.printf("\nthe first rows as the base will see them:\n")
	return a.previewRows(n, r.Sample, c.Preview, p.Data.MaxLen)
}

// author is who is recorded for golden sets.
func author() string {
	for _, v := range []string{"DLM_AUTHOR", "USER", "LOGNAME"} {
		if s := os.Getenv(v); s != "" {
			return s
		}
	}
	return "unknown"
}
