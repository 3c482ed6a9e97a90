package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"dlm"
	"dlm/driver/hub"
	"dlm/driver/native"
	"dlm/lifecycle"
	"dlm/stage/card"
	"dlm/stage/registry"
)

// modelCard collects what the store knows of an adapter; repo is where it will
// stand, empty for a page that stays here.
func (a *app) modelCard(art dlm.Artifact, dir, repo string) (card.Card, error) {
	p, err := a.project(nil)
	if err != nil {
		return card.Card{}, err
	}
	s, err := a.store()
	if err != nil {
		return card.Card{}, err
	}
	c := card.Card{Name: art.Name, Repo: repo, ID: art.ID, Created: art.Created, Code: art.Code, Seed: art.Seed,
		Recipe: recipeOf(art.Params), Origin: originOf(art.Params), Author: card.Author(p.Card)}
	if err := boundTo(&c.Base, dir); err != nil {
		return c, err
	}
	for _, parent := range art.Parents {
		made, err := s.Artifact(a.ctx, parent.ID)
		if err != nil {
			return c, err
		}
		switch parent.Role {
		case "base":
			fillBase(&c.Base, made)
		case "data", "held":
			d := dataOf(p, made, map[string]string{"data": "trained on", "held": "held out"}[parent.Role])
			c.Data = append(c.Data, d)
			if parent.Role == "data" {
				if c.System, err = a.systemOf(made); err != nil {
					return c, err
				}
			}
		}
	}
	return c, a.judged(&c, p, art.ID)
}

// judged adds the newest report and the newest verdict.
func (a *app) judged(c *card.Card, p *lifecycle.Project, id dlm.Digest) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	rep, arm, ok, err := registry.Report(a.ctx, s, id)
	if err != nil {
		return err
	}
	if ok {
		c.Report, c.Arm = &rep, arm.Name
		if g, err := s.Artifact(a.ctx, rep.Golden); err == nil {
			d := dataOf(p, g, "golden set")
			c.Golden = &d
		}
	}
	ids, verdicts, err := registry.Verdicts(a.ctx, s, id)
	if err != nil || len(ids) == 0 {
		return err
	}
	c.Gate = &card.Gate{Verdict: verdicts[0].Verdict, ID: ids[0], Allowed: verdicts[0].Allows()}
	return nil
}

// recipeOf are the settings of a training among an artifact's parameters: those
// of dlm.yaml's train section and a few beside it. Others may name what is only
// this machine's, so they are not published, nor taken over from elsewhere.
func recipeOf(params map[string]string) map[string]string {
	out := map[string]string{}
	take := func(k string) {
		if v, ok := params[k]; ok {
			out[k] = v
		}
	}
	for f := range reflect.TypeFor[lifecycle.TrainSpec]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		take(name)
	}
	for _, k := range []string{"max_len", "truncate", "trainer", "unsloth"} {
		take(k)
	}
	return out
}

// originOf says where an adapter came from that was not trained here. A folder of
// this machine is nobody else's business.
func originOf(params map[string]string) string {
	from := params["from"]
	switch {
	case strings.HasPrefix(from, "hf:") && params["imported"] != "":
		return "taken from " + from + " and bound to this base on its user's word"
	case strings.HasPrefix(from, "hf:"):
		return "taken from " + from
	case params["imported"] != "":
		return "made elsewhere and bound to this base on its user's word"
	}
	return ""
}

// boundTo reads the identity in an adapter's folder.
func boundTo(b *card.Base, dir string) error {
	id, err := native.AdapterIdentity(dir)
	if errors.Is(err, native.ErrForeign) {
		b.Name = native.AdapterBaseName(dir)
		return nil
	}
	if err != nil {
		return err
	}
	b.Name, b.Digest, b.Tokenizer, b.Template = id.BaseName, dlm.Digest(id.BaseHash), id.TokenizerHash, id.TemplateHash
	return nil
}

// fillBase adds what the store knows of a base. A path of this machine is left out.
func fillBase(b *card.Base, base dlm.Artifact) {
	b.Repo, b.Commit = hub.Origin(base.Name, base.Params["source"])
	b.Quantize = base.Params["quantize"]
	if b.Repo != "" {
		b.Name = base.Name
	}
	if path := base.Params["path"]; strings.HasSuffix(path, ".gguf") {
		b.File = filepath.Base(path)
	}
}

// dataOf is a set of rows with the licence that lies beside its files.
func dataOf(p *lifecycle.Project, art dlm.Artifact, role string) card.Data {
	d := card.Data{Role: role, Name: art.Name, Digest: art.ID, Rows: art.Params["rows"]}
	paths := strings.Split(art.Params["files"], ", ")
	switch role {
	case "golden set":
		d.Rows = art.Params["items"]
		paths = nil
		if len(art.Files) == 1 {
			paths = []string{filepath.Join(filepath.Dir(p.Golden.File), art.Files[0].Path)}
		}
	case "held out":
		if file := art.Params["held_out"]; filepath.Ext(file) != "" { // else a number or a part of those files
			paths = []string{file}
		}
	}
	var names []string
	for _, path := range paths {
		if path == "" {
			continue
		}
		names = append(names, filepath.Base(path))
		if d.Licence == "" {
			d.Licence, d.LicenceID = licenceIn(filepath.Dir(p.Path(path)))
		}
		if d.Attribution == "" {
			d.Attribution = firstText(filepath.Dir(p.Path(path)), "ATTRIBUTION.md", "ATTRIBUTION.txt", "ATTRIBUTION", "DATA_ATTRIBUTION.md")
		}
	}
	d.Files = strings.Join(names, ", ")
	return d
}

func licenceIn(dir string) (name, id string) {
	if text := firstText(dir, "DATA_LICENSE", "DATA_LICENSE.txt", "DATA_LICENSE.md", "LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"); text != "" {
		return card.Licence(text)
	}
	return "", ""
}

// maxText bounds a licence or an attribution that goes into a card, in bytes.
const maxText = 64 << 10

// firstText is the first of these files that is there and not too long.
func firstText(dir string, names ...string) string {
	for _, n := range names {
		if st, err := os.Stat(filepath.Join(dir, n)); err != nil || !st.Mode().IsRegular() || st.Size() > maxText {
			continue
		}
		if raw, err := os.ReadFile(filepath.Join(dir, n)); err == nil {
			return string(raw)
		}
	}
	return ""
}

// systemOf is the system message that all rows of a dataset begin with; empty
// when they do not agree.
func (a *app) systemOf(data dlm.Artifact) (string, error) {
	s, err := a.store()
	if err != nil || len(data.Files) != 1 {
		return "", err
	}
	r, err := s.Open(a.ctx, data.Files[0].Digest)
	if err != nil {
		return "", err
	}
	defer r.Close()
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 1<<20), 64<<20)
	system, first := "", true
	for in.Scan() {
		var row struct {
			Messages []dlm.Message   `json:"messages"`
			Prompt   json.RawMessage `json:"prompt"`
		}
		if err := json.Unmarshal(in.Bytes(), &row); err != nil {
			return "", fmt.Errorf("dataset %s: %w", data.ID.Short(), err)
		}
		if len(row.Messages) == 0 && json.Unmarshal(row.Prompt, &row.Messages) != nil {
			return "", in.Err() // plain text
		}
		i := slices.IndexFunc(row.Messages, func(m dlm.Message) bool { return m.Role == "system" })
		if i < 0 || !first && row.Messages[i].Content != system {
			return "", nil
		}
		system, first = row.Messages[i].Content, false
	}
	return system, in.Err()
}

// adaptersCardCmd prints the model card.
type adaptersCardCmd struct {
	Adapter string `arg:"" help:"Alias, name, digest or prefix."`
	Out     string `help:"Write it to this file instead." placeholder:"FILE"`
}

func (c *adaptersCardCmd) Run(a *app) error {
	art, err := a.findAdapter(c.Adapter)
	if err != nil {
		return err
	}
	dir, err := a.adapterDir(art.ID.Hex())
	if err != nil {
		return err
	}
	m, err := a.modelCard(art, dir, "")
	if err != nil {
		return err
	}
	page := string(m.Markdown())
	if c.Out != "" {
		if err := os.WriteFile(c.Out, []byte(page), 0o644); err != nil {
			return err
		}
	}
	a.finish(map[string]any{"adapter": art.ID, "card": page}, func() {
		if c.Out != "" {
			a.printf("wrote %s\n", c.Out)
			return
		}
		a.printf("%s", page)
	})
	return nil
}
