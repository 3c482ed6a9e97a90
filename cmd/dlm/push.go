package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"dlm"
	"dlm/driver/hub"
	"dlm/driver/native"
	"dlm/lifecycle"
	"dlm/stage/card"
)

// pushCmd puts an adapter on the Hub.
type pushCmd struct {
	Ref      string `arg:"" help:"Where to: hf:owner/name[@branch]."`
	Adapter  string `arg:"" optional:"" help:"Alias, name, digest, prefix, or a PEFT folder (default: the alias that the project promotes to)."`
	Public   bool   `help:"Let everyone read it. Needs a gate that allows the adapter, or --force."`
	Revision string `help:"Branch (default: main); made where it is not there." placeholder:"BRANCH"`
	Message  string `short:"m" help:"Of the commit." placeholder:"TEXT"`
	CreatePR bool   `name:"create-pr" help:"Propose the change as a pull request instead."`
	DryRun   bool   `help:"Say what would be pushed; change nothing."`
	Force    bool   `help:"Publish an adapter that no gate allows; push into a repository that holds something else."`
	Card     string `help:"Model card to use instead of the one made from the lineage." placeholder:"FILE"`
}

// travellers are the files of an adapter folder that are pushed; the card and the
// lineage come beside them.
var travellers = []string{
	"adapter_config.json", "adapter_model.safetensors", "dlm_adapter.json", "tokenizer.json", "tokenizer_config.json",
	"special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "vocab.json", "merges.txt", "tokenizer.model",
}

// cardFile is the name of a model card in its repository.
const cardFile = "README.md"

// leaving is an adapter on its way out.
type leaving struct {
	dir   string
	name  string
	id    dlm.Digest // empty: a folder outside of any project
	card  card.Card
	page  []byte
	files []dlm.PushFile
}

func (c *pushCmd) Run(a *app) error {
	ref, err := c.ref()
	if err != nil {
		return err
	}
	out, err := a.leaving(c.Adapter, strings.TrimPrefix(c.Ref, "hf:"))
	if err != nil {
		return err
	}
	if err := c.publishable(out); err != nil {
		return err
	}
	if err := c.pack(out); err != nil {
		return err
	}
	h, err := a.hub()
	if err != nil {
		return err
	}
	res, err := h.Push(a.ctx, dlm.PushJob{Ref: ref, Files: out.files, Message: c.message(out), Description: out.description(),
		Public: c.Public, CreatePR: c.CreatePR, DryRun: c.DryRun, Force: c.Force}, a.pullProgress())
	if err != nil {
		return err
	}
	a.finish(pushed{PushResult: res, Adapter: string(out.id), DryRun: c.DryRun, Card: string(out.page)}, func() { c.print(a, out, res) })
	return nil
}

// pushed is what a push prints with --json.
type pushed struct {
	dlm.PushResult
	Adapter string `json:"adapter"` // digest; empty for a folder outside of a project
	DryRun  bool   `json:"dry_run"`
	Card    string `json:"card"`
}

func (c *pushCmd) ref() (string, error) {
	if !strings.HasPrefix(c.Ref, "hf:") {
		return "", usageError("REF: %q; expected hf:owner/name", c.Ref)
	}
	if c.Revision == "" {
		return c.Ref, nil
	}
	if strings.Contains(c.Ref, "@") {
		return "", usageError("REF: %s names a branch, and --revision another; give one", c.Ref)
	}
	return c.Ref + "@" + c.Revision, nil
}

// leaving finds the adapter and makes its card.
func (a *app) leaving(ref, repo string) (*leaving, error) {
	repo, _, _ = strings.Cut(repo, "@")
	if _, err := os.Stat(filepath.Join(ref, "adapter_config.json")); ref != "" && err == nil {
		return a.leavingFolder(ref, repo)
	}
	if ref == "" {
		p, err := a.project(nil)
		if err != nil {
			return nil, fmt.Errorf("no ADAPTER given, and %w", err)
		}
		if ref = p.Promote.Alias; ref == "" {
			return nil, usageError("ADAPTER: the project promotes to no alias, so say which one: its name or digest (dlm adapters list)")
		}
	}
	art, err := a.findAdapter(ref)
	if err != nil {
		return nil, err
	}
	dir, err := a.adapterDir(art.ID.Hex())
	if err != nil {
		return nil, err
	}
	out := &leaving{dir: dir, name: art.Name, id: art.ID}
	if out.card, err = a.modelCard(art, dir, repo); err != nil {
		return nil, err
	}
	out.page = out.card.Markdown()
	return out, nil
}

// leavingFolder is an adapter outside of any project: a page that lies in its
// folder is kept, else one is made from what the folder says.
func (a *app) leavingFolder(dir, repo string) (*leaving, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	out := &leaving{dir: abs, name: filepath.Base(abs)}
	if page := firstText(abs, cardFile); page != "" {
		out.page = []byte(page)
		return out, nil
	}
	out.card = card.Card{Name: out.name, Repo: repo}
	if err := boundTo(&out.card.Base, abs); err != nil {
		return nil, err
	}
	out.page = out.card.Markdown()
	return out, nil
}

// publishable refuses to show everyone an adapter that no gate allows.
func (c *pushCmd) publishable(out *leaving) error {
	if !c.Public || c.Force || out.card.Gate != nil && out.card.Gate.Allowed {
		return nil
	}
	why := "no gate has judged it: run dlm gate first"
	if out.card.Gate != nil {
		why = fmt.Sprintf("its gate says %s (%s)", out.card.Gate.Outcome, out.card.Gate.Reason)
	}
	return fmt.Errorf("adapter %s is not made public: %s; push it privately, or add --force, and the card will say so", out.name, why)
}

// pack lists the files, with the card and, from a project, the lineage.
func (c *pushCmd) pack(out *leaving) error {
	for _, name := range travellers {
		path := filepath.Join(out.dir, name)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			out.files = append(out.files, dlm.PushFile{Path: name, From: path})
		}
	}
	if repo := out.card.Base.Repo; repo != "" {
		raw, err := publishedConfig(filepath.Join(out.dir, "adapter_config.json"), repo)
		if err != nil {
			return err
		}
		out.files[0] = dlm.PushFile{Path: "adapter_config.json", Data: raw}
	}
	if _, err := os.Stat(filepath.Join(out.dir, "adapter_model.safetensors")); err != nil {
		return fmt.Errorf("adapter %s: adapter_model.safetensors is missing: %w", out.name, err)
	}
	if c.Card != "" {
		if err := needFile("--card", c.Card); err != nil {
			return err
		}
		page, err := os.ReadFile(c.Card)
		if err != nil {
			return err
		}
		out.page = page
	}
	out.files = append(out.files, dlm.PushFile{Path: cardFile, Data: out.page})
	if out.id == "" {
		return nil
	}
	raw, err := json.MarshalIndent(out.card.Lineage(), "", "  ")
	if err != nil {
		return err
	}
	out.files = append(out.files, dlm.PushFile{Path: card.LineageFile, Data: append(raw, '\n')})
	return nil
}

// peftBase is the field of PEFT's configuration that says where the base is.
const peftBase = "base_model_name_or_path"

// publishedConfig is PEFT's configuration with the base's name on the Hub in the
// place of that on this machine, so that PEFT finds the base by itself.
func publishedConfig(path, repo string) ([]byte, error) {
	fields, err := configFields(path)
	if err != nil {
		return nil, err
	}
	if fields[peftBase], err = json.Marshal(repo); err != nil {
		return nil, err
	}
	raw, err := json.MarshalIndent(fields, "", "  ")
	return append(raw, '\n'), err
}

func configFields(path string) (map[string]json.RawMessage, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return fields, nil
}

func (c *pushCmd) message(out *leaving) string {
	if c.Message != "" {
		return c.Message
	}
	if out.id != "" {
		return fmt.Sprintf("Adapter %s, %s", out.name, out.id.Short())
	}
	return "Adapter " + out.name
}

func (l *leaving) description() string {
	if l.id == "" {
		return ""
	}
	return "Pushed by dlm from adapter " + string(l.id)
}

func (c *pushCmd) print(a *app, out *leaving, res dlm.PushResult) {
	what := "public"
	if res.Private {
		what = "private"
	}
	if res.Created {
		what += ", new"
	}
	a.printf("%s -> %s (%s)\n", out.name, res.Repo, what)
	for _, f := range res.Files {
		a.printf("  %-8s %10s  %s\n", f.State, byteSize(f.Size), f.Path)
	}
	if out.id != "" && out.card.Gate == nil {
		a.printf("no gate has judged it; the card says so\n")
	}
	switch {
	case c.DryRun:
		a.printf("nothing was changed; the card: dlm adapters card %s\n", orName(out))
		return
	case res.Unchanged:
		a.printf("the Hub has all of it already, at commit %s; nothing was sent\n", short12(res.Commit))
	case res.PullRequest != "":
		a.printf("proposed: %s\n", res.PullRequest)
		return
	default:
		a.printf("commit %s, %s of large files sent\n", short12(res.Commit), byteSize(res.SentBytes))
	}
	a.printf("%s\nnext: dlm pull hf:%s\n", res.URL, res.Repo)
}

func orName(out *leaving) string {
	if out.id != "" {
		return out.id.Short()
	}
	return out.name
}

func short12(commit string) string { return commit[:min(12, len(commit))] }

// hub opens the Hub.
func (a *app) hub() (*hub.Hub, error) {
	return hub.New(hub.Options{Version: version(), Inspect: native.Inspect, Note: func(s string) { a.notef("%s", s) }})
}

// inProject says whether the command runs in a project; a dlm.yaml with errors is
// one.
func (a *app) inProject() (bool, error) {
	_, err := a.project(nil)
	if errors.Is(err, lifecycle.ErrNoProject) {
		return false, nil
	}
	return err == nil, err
}
