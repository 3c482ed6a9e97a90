package main

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"

	"dlm"
	"dlm/driver/hub"
	"dlm/driver/native"
	"dlm/stage/registry"
)

// adaptersCmd looks after adapters and aliases.
type adaptersCmd struct {
	List     adaptersListCmd     `cmd:"" default:"1" help:"All adapters, newest first."`
	Promote  adaptersPromoteCmd  `cmd:"" help:"Point an alias at an adapter whose gate allows it."`
	Rollback adaptersRollbackCmd `cmd:"" help:"Point an alias back at what it was before."`
	Canary   adaptersCanaryCmd   `cmd:"" help:"Change the share of requests that a canary answers."`
	Alias    adaptersAliasCmd    `cmd:"" help:"Where aliases point, and where they pointed."`
	Diff     adaptersDiffCmd     `cmd:"" help:"How two adapters differ: settings, data, scores."`
	Import   adaptersImportCmd   `cmd:"" help:"Bind a PEFT adapter made elsewhere to a base, on your word."`
	Card     adaptersCardCmd     `cmd:"" help:"The model card: what it is, how it was made and judged."`
}

type adaptersListCmd struct{}

func (c *adaptersListCmd) Run(a *app) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	list, err := registry.List(a.ctx, s)
	if err != nil {
		return err
	}
	a.finish(map[string]any{"adapters": list}, func() {
		if len(list) == 0 {
			a.printf("no adapters yet: dlm train sft makes one\n")
		}
		for _, e := range list {
			outcome, metric := "not gated", ""
			if e.Outcome != "" {
				outcome = string(e.Outcome)
			}
			if e.Metric != nil {
				metric = e.Metric.Name + " " + percent(e.Metric.Value)
			}
			a.printf("%s  %-24s %s  %-12s %-16s %s\n", e.ID.Short(), e.Name, e.Created.Local().Format("2006-01-02 15:04"), outcome, metric, strings.Join(e.Aliases, ", "))
		}
	})
	return nil
}

type adaptersPromoteCmd struct {
	Adapter string `arg:"" help:"Name, digest or prefix."`
	Alias   string `default:"prod" help:"The alias: of the whole project (prod), or of the adapter's name (NAME@prod, NAME@canary)."`
	Share   string `help:"Of the requests for NAME, those that a canary answers: 10% or 0.1." placeholder:"PART"`
	Force   bool   `help:"Promote without a passed gate; recorded."`
	Reason  string `help:"Why, with --force."`
}

func (c *adaptersPromoteCmd) Run(a *app) error {
	share, err := parseShare(c.Share)
	if err != nil {
		return err
	}
	p, err := a.project(nil)
	if err != nil {
		return err
	}
	if err := a.lock(p, "dlm adapters promote"); err != nil {
		return err
	}
	art, err := a.findAdapter(c.Adapter)
	if err != nil {
		return err
	}
	s, err := a.store()
	if err != nil {
		return err
	}
	change, err := registry.Promote(a.ctx, s, registry.Promotion{Alias: c.Alias, Adapter: art.ID, Share: share, Force: c.Force, Reason: c.Reason})
	if err != nil {
		return err
	}
	if err := a.noteShadowed(s, change, art.Name); err != nil {
		return err
	}
	a.finish(change, func() { a.printAlias(change) })
	return nil
}

type adaptersRollbackCmd struct {
	Which  string `arg:"" optional:"" name:"alias" help:"The alias: prod, NAME@prod (default: that of --alias)."`
	Alias  string `default:"prod" help:"The same, as a flag."`
	Reason string `help:"Why; recorded."`
}

func (c *adaptersRollbackCmd) Run(a *app) error {
	p, err := a.project(nil)
	if err != nil {
		return err
	}
	if err := a.lock(p, "dlm adapters rollback"); err != nil {
		return err
	}
	s, err := a.store()
	if err != nil {
		return err
	}
	change, err := registry.Rollback(a.ctx, s, cmp.Or(c.Which, c.Alias), c.Reason, "")
	if err != nil {
		return err
	}
	a.finish(change, func() { a.printAlias(change) })
	return nil
}

type adaptersDiffCmd struct {
	A string `arg:"" help:"Alias, name, digest or prefix."`
	B string `arg:"" help:"The other one."`
}

func (c *adaptersDiffCmd) Run(a *app) error {
	x, err := a.findAdapter(c.A)
	if err != nil {
		return err
	}
	y, err := a.findAdapter(c.B)
	if err != nil {
		return err
	}
	s, err := a.store()
	if err != nil {
		return err
	}
	d, err := registry.Diff(a.ctx, s, x.ID, y.ID)
	if err != nil {
		return err
	}
	a.finish(d, func() { a.printDiff(d) })
	return nil
}

func (a *app) printDiff(d registry.Comparison) {
	a.printf("a: %s %s\nb: %s %s\n", d.A.ID.Short(), d.A.Name, d.B.ID.Short(), d.B.Name)
	if d.Same {
		a.printf("one and the same adapter\n")
		return
	}
	for _, part := range []struct {
		what string
		diff []registry.Difference
	}{{"settings", d.Settings}, {"made from", d.Parents}, {"files", d.Files}} {
		for _, x := range part.diff {
			a.printf("%-9s %-24s %s -> %s\n", part.what, x.What, orDash(x.A), orDash(x.B))
		}
	}
	for _, m := range d.Metrics {
		a.printf("%-9s %-24s %s -> %s\n", "score", m.Name, metricText(m.A), metricText(m.B))
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func metricText(m *dlm.Metric) string {
	if m == nil {
		return "-"
	}
	return percent(m.Value) + " [" + percent(m.Low) + ", " + percent(m.High) + "]"
}

type adaptersImportCmd struct {
	Folder string `arg:"" help:"PEFT folder, or hf:owner/name[@revision]."`
	Base   string `help:"Base that it was trained on (default: the project's). Binding is on your word, and recorded." placeholder:"REF"`
	Name   string `help:"Name in the registry (default: the folder's)."`

	Quantize string `enum:",none,nf4" default:"" help:"Bind to the base quantised to nf4 as it is loaded (default: with the project's base as the project says, else none)." placeholder:"TYPE"`
	Out      string `help:"Only write the bound folder there, without a project." placeholder:"DIR"`
}

func (c *adaptersImportCmd) Run(a *app) error {
	from := c.Folder
	if strings.HasPrefix(from, "hf:") {
		got, err := a.pullAdapter(from)
		if err != nil {
			return err
		}
		c.Folder, from = got.Path, "hf:"+got.Repo+"@"+short12(got.Commit)
		if c.Name == "" {
			_, c.Name, _ = strings.Cut(got.Repo, "/")
		}
	}
	if _, err := os.Stat(filepath.Join(c.Folder, "adapter_config.json")); err != nil {
		return usageError("FOLDER: %s is no PEFT folder; expected one that holds adapter_config.json and adapter_model.safetensors", c.Folder)
	}
	ref, quantize, err := a.quantizedRef(c.Base, c.Quantize)
	if err != nil {
		return err
	}
	n, pulled, err := a.openQuantized(ref, "bf16", quantize)
	if err != nil {
		return err
	}
	if said := native.AdapterBaseName(c.Folder); strings.Count(said, "/") == 1 {
		if repo, _ := hub.Origin(ref, pulled.Source); repo != said {
			a.notef("the folder says that its base is %s; you bind it to %s", said, ref)
		}
	}
	if c.Out != "" {
		if err := n.ImportAdapter(c.Folder, c.Out); err != nil {
			return err
		}
		a.finish(map[string]string{"folder": c.Out, "base": string(pulled.Digest)}, func() { a.printf("bound to base %s: %s\n", pulled.Digest.Short(), c.Out) })
		return nil
	}
	s, err := a.store()
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(s.Dir(), "import-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := n.ImportAdapter(c.Folder, filepath.Join(tmp, "adapter")); err != nil {
		return err
	}
	base, err := s.Put(a.ctx, dlm.Artifact{ID: n.Digest(), Kind: dlm.KindBase, Name: ref, Params: baseParams(pulled, quantize)}, "")
	if err != nil {
		return err
	}
	name := c.Name
	if name == "" {
		name = filepath.Base(filepath.Clean(c.Folder))
	}
	art, err := s.Put(a.ctx, dlm.Artifact{
		Kind: dlm.KindAdapter, Name: name, Parents: []dlm.Parent{{Role: "base", ID: base.ID}}, Code: version(),
		Params: map[string]string{"imported": "bound on the user's word", "from": from},
	}, filepath.Join(tmp, "adapter"))
	if err != nil {
		return err
	}
	a.finish(art, func() {
		a.printf("adapter %s (%s), bound to base %s on your word\nnext: dlm eval %s\n", art.ID.Short(), art.Name, base.ID.Short(), art.ID.Short())
	})
	return nil
}
