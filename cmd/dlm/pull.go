package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"dlm"
	"dlm/driver/hub"
	"dlm/driver/native"
	"dlm/stage/card"
)

// pullCmd gets a base model, or an adapter.
type pullCmd struct {
	Ref  string `arg:"" help:"smollm2-135m-instruct, hf:owner/name[@revision][:file.gguf], a GGUF file, or a safetensors folder; or hf:owner/name[@revision] of an adapter."`
	Name string `help:"Of an adapter in the project (default: the one it has on the Hub)."`
}

func (c *pullCmd) Run(a *app) error {
	m, err := a.pull(c.Ref)
	if errors.Is(err, hub.ErrAdapter) {
		return c.adapter(a)
	}
	if err != nil {
		return err
	}
	a.finish(m, func() {
		a.printf("%s\n  from    %s\n  path    %s\n  digest  %s\nnext: dlm generate --base %s --user \"Hello\"\n", m.Ref, m.Source, m.Path, m.Digest, m.Ref)
	})
	return nil
}

// pulledAdapter is what a pull of an adapter prints with --json.
type pulledAdapter struct {
	dlm.PulledAdapter
	BaseName   string `json:"base_name"`             // as the adapter says
	BaseDigest string `json:"base_digest,omitempty"` // of the base that it is bound to; none: PEFT's, bound to none
	Adapter    string `json:"adapter,omitempty"`     // in the project's registry
	Name       string `json:"name,omitempty"`
}

// adapter pulls one, checks it against the project's base and registers it.
func (c *pullCmd) adapter(a *app) error {
	got, err := a.pullAdapter(c.Ref)
	if err != nil {
		return err
	}
	out := pulledAdapter{PulledAdapter: got, BaseName: native.AdapterBaseName(got.Path)}
	id, err := native.AdapterIdentity(got.Path)
	if errors.Is(err, native.ErrForeign) {
		a.finish(out, func() { a.printForeign(out) })
		return nil
	}
	if err != nil {
		return err
	}
	out.BaseName, out.BaseDigest = id.BaseName, id.BaseHash
	in, err := a.inProject()
	if err != nil {
		return err
	}
	if !in {
		a.finish(out, func() {
			a.printPulled(out)
			a.printf("next: dlm generate --base BASE --adapter %s --user \"Hello\"   (BASE: the one above; in a project on it, pull registers the adapter)\n", out.Path)
		})
		return nil
	}
	art, err := a.registerPulled(got, id.BaseName, dlm.Digest(id.BaseHash), c.Name)
	if err != nil {
		return err
	}
	out.Adapter, out.Name = string(art.ID), art.Name
	a.finish(out, func() {
		a.printPulled(out)
		a.printf("adapter %s (%s) is in the project\nnext: dlm eval %s\n", art.ID.Short(), art.Name, art.ID.Short())
	})
	return nil
}

func (a *app) pullAdapter(ref string) (dlm.PulledAdapter, error) {
	h, err := a.hub()
	if err != nil {
		return dlm.PulledAdapter{}, err
	}
	return h.PullAdapter(a.ctx, ref, a.pullProgress())
}

func (a *app) printPulled(o pulledAdapter) {
	a.printf("%s, an adapter\n  from    %s\n  path    %s\n  digest  %s\n  base    %s", o.Ref, o.Source, o.Path, o.Digest, orDash(o.BaseName))
	if o.BaseDigest != "" {
		a.printf(" (%s)", dlm.Digest(o.BaseDigest).Short())
	}
	a.printf("\n")
}

// printForeign says what a PEFT folder without dlm's identity needs.
func (a *app) printForeign(o pulledAdapter) {
	a.printPulled(o)
	base := "BASE"
	if strings.Count(o.BaseName, "/") == 1 {
		base = "hf:" + o.BaseName
	}
	a.printf("It was not made by dlm, so nothing proves which base it is for. If you trust its word, bind it:\nnext: dlm adapters import %s --base %s\n", o.Ref, base)
}

// registerPulled checks the adapter against the project's base, as serving would,
// and puts it into the store with the lineage that came with it.
func (a *app) registerPulled(got dlm.PulledAdapter, baseName string, base dlm.Digest, name string) (dlm.Artifact, error) {
	var none dlm.Artifact
	ref, quantize, err := a.quantizedRef("", "")
	if err != nil {
		return none, err
	}
	pulled, err := a.pull(ref)
	if err != nil {
		return none, err
	}
	if ours := native.Quantized(pulled.Digest, quantize); ours != base {
		return none, fmt.Errorf("%s was trained on base %s (%s), and the project's is %s (%s); pull it in a project on that base. It lies in %s, and is not registered here",
			got.Repo, orDash(baseName), base.Short(), ref, ours.Short(), got.Path)
	}
	if known, ok, err := a.knownAdapter(got); err != nil || ok {
		if ok {
			a.notef("%s is the project's own adapter %s, as it was pushed", got.Repo, known.ID.Short())
		}
		return known, err
	}
	n, _, err := a.openQuantized(ref, "bf16", quantize)
	if err != nil {
		return none, err
	}
	if err := n.CheckAdapter(got.Path); err != nil {
		return none, err
	}
	s, err := a.store()
	if err != nil {
		return none, err
	}
	b, err := s.Put(a.ctx, dlm.Artifact{ID: n.Digest(), Kind: dlm.KindBase, Name: ref, Params: baseParams(pulled, quantize)}, "")
	if err != nil {
		return none, err
	}
	art := dlm.Artifact{Kind: dlm.KindAdapter, Name: name, Parents: []dlm.Parent{{Role: "base", ID: b.ID}}, Code: version(), Params: map[string]string{}}
	if l, ok := lineageIn(got.Path); ok {
		maps.Copy(art.Params, recipeOf(l.Recipe))
		art.Seed, art.Code = l.Seed, l.Code
		art.Params["pushed_as"] = string(l.ID)
		for _, d := range l.Data {
			art.Params["pushed "+d.Role] = string(d.Digest)
		}
	}
	art.Params["from"] = "hf:" + got.Repo + "@" + short12(got.Commit)
	if art.Name == "" {
		_, art.Name, _ = strings.Cut(got.Repo, "/")
	}
	return s.Put(a.ctx, art, got.Path)
}

// knownAdapter finds the adapter in the store from which this one was pushed:
// that of its lineage, where the files that decide what it computes are the same.
func (a *app) knownAdapter(got dlm.PulledAdapter) (dlm.Artifact, bool, error) {
	l, ok := lineageIn(got.Path)
	if !ok || l.ID == "" {
		return dlm.Artifact{}, false, nil
	}
	s, err := a.store()
	if err != nil {
		return dlm.Artifact{}, false, err
	}
	art, err := s.Find(a.ctx, dlm.KindAdapter, string(l.ID))
	if err != nil {
		return dlm.Artifact{}, false, nil //nolint:nilerr // it was pushed from elsewhere
	}
	if !slices.ContainsFunc(art.Files, func(f dlm.File) bool { return f.Path == "adapter_model.safetensors" && f.Digest == got.Digest }) {
		return dlm.Artifact{}, false, nil
	}
	dir, err := s.Materialise(a.ctx, art.ID)
	if err != nil {
		return art, false, err
	}
	same, err := sameConfig(dir, got.Path)
	if err != nil || !same {
		return dlm.Artifact{}, false, err
	}
	x, errX := os.ReadFile(filepath.Join(dir, "dlm_adapter.json"))
	y, errY := os.ReadFile(filepath.Join(got.Path, "dlm_adapter.json"))
	return art, string(x) == string(y), errors.Join(errX, errY)
}

// sameConfig compares PEFT's configurations of two folders, but for where they say
// that the base is.
func sameConfig(a, b string) (bool, error) {
	x, err := configFields(filepath.Join(a, "adapter_config.json"))
	if err != nil {
		return false, err
	}
	y, err := configFields(filepath.Join(b, "adapter_config.json"))
	if err != nil {
		return false, err
	}
	delete(x, peftBase)
	delete(y, peftBase)
	return maps.EqualFunc(x, y, func(v, w json.RawMessage) bool {
		var m, n any
		return json.Unmarshal(v, &m) == nil && json.Unmarshal(w, &n) == nil && reflect.DeepEqual(m, n)
	}), nil
}

// lineageIn reads the lineage that a pushed adapter brings. It is what its
// pusher says, not more: nothing is decided by it.
func lineageIn(dir string) (card.Lineage, bool) {
	var l card.Lineage
	raw, err := os.ReadFile(filepath.Join(dir, card.LineageFile))
	if err != nil || json.Unmarshal(raw, &l) != nil || l.Format != 1 {
		return card.Lineage{}, false
	}
	if l.ID != "" {
		if _, err := dlm.ParseDigest(string(l.ID)); err != nil {
			return card.Lineage{}, false
		}
	}
	return l, true
}
