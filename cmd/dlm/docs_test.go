package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"
)

// docKey is one documented key of a command's JSON.
type docKey struct {
	path     string // "steps[].stage"
	optional bool
}

// docSection is what docs/CLI.md says of one command.
type docSection struct {
	keys []docKey
	text string
}

var (
	docTick = regexp.MustCompile("`([^`]+)`(\\?)?")
	docLike = regexp.MustCompile("[Kk]eys as of `(dlm [^`]+)`")
	docFlag = regexp.MustCompile(`--[a-z][a-z-]+`)
)

// documentation reads docs/CLI.md.
var documentation = sync.OnceValues(func() (map[string]docSection, error) {
	b, err := os.ReadFile("../../docs/CLI.md")
	if err != nil {
		return nil, err
	}
	out := map[string]docSection{}
	parts := strings.Split(string(b), "\n### ")
	for _, part := range parts[1:] {
		name, text, _ := strings.Cut(part, "\n")
		text, _, _ = strings.Cut(text, "\n## ")
		s := docSection{text: text}
		inKeys := false
		for _, line := range strings.Split(text, "\n") {
			switch {
			case strings.HasPrefix(line, "| key |"):
				inKeys = true
			case !strings.HasPrefix(line, "|"):
				inKeys = false
			case inKeys && strings.HasPrefix(line, "| `"):
				cell := strings.Split(line, "|")[1]
				for _, m := range docTick.FindAllStringSubmatch(cell, -1) {
					s.keys = append(s.keys, docKey{m[1], m[2] == "?"})
				}
			}
		}
		if m := docLike.FindStringSubmatch(text); m != nil {
			like, ok := out[m[1]]
			if !ok {
				return nil, fmt.Errorf("docs/CLI.md: %s: keys as of %s, which does not stand above it", name, m[1])
			}
			s.keys = like.keys
		}
		out[name] = s
	}
	return out, nil
})

// cmdDocumented compares the last command's JSON with docs/CLI.md:
// documented dlm adapters list.
func cmdDocumented(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: documented dlm COMMAND")
	}
	ts.Check(documented(strings.Join(args, " "), object(ts)))
}

// documented compares a command's JSON with docs/CLI.md.
func documented(name string, v map[string]any) error {
	docs, err := documentation()
	if err != nil {
		return err
	}
	s, ok := docs[name]
	if !ok {
		return fmt.Errorf("docs/CLI.md has no section %q", name)
	}
	top := map[string]bool{}
	for _, k := range s.keys {
		first, _, _ := strings.Cut(k.path, ".")
		top[strings.TrimSuffix(first, "[]")] = true
		if err := hasKey(v, strings.Split(k.path, "."), k.optional); err != nil {
			return fmt.Errorf("docs/CLI.md says that %s prints %s: %w", name, k.path, err)
		}
	}
	for k := range v {
		if !top[k] {
			return fmt.Errorf("%s prints the key %s, which docs/CLI.md does not name", name, k)
		}
	}
	return nil
}

// hasKey follows a documented path; a list on the way must hold it in every element.
func hasKey(v any, path []string, optional bool) error {
	if len(path) == 0 {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("there is no object but %v", v)
	}
	name, list := strings.CutSuffix(path[0], "[]")
	x, ok := m[name]
	if !ok {
		if optional {
			return nil
		}
		return fmt.Errorf("no key %s", name)
	}
	if !list {
		return hasKey(x, path[1:], optional)
	}
	elems, ok := x.([]any)
	if !ok {
		return fmt.Errorf("%s is no list", name)
	}
	for _, e := range elems {
		if err := hasKey(e, path[1:], optional); err != nil {
			return err
		}
	}
	return nil
}

// commands lists every command that can be run, with its flags.
func commands(t *testing.T) map[string][]string {
	var c cli
	p, err := kong.New(&c, kong.Name("dlm"), kong.Vars{"version": ""})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, leaf := range p.Model.Leaves(false) {
		var flags []string
		for _, group := range leaf.AllFlags(false) {
			for _, f := range group {
				flags = append(flags, "--"+f.Name)
			}
		}
		out[strings.Join(strings.Fields(leaf.FullPath()), " ")] = flags
	}
	return out
}

// TestDocumented: every command has a section in docs/CLI.md and the other way
// round, every flag named there exists, and a script compares every section's
// keys with what the command prints.
func TestDocumented(t *testing.T) {
	docs, err := documentation()
	if err != nil {
		t.Fatal(err)
	}
	cmds := commands(t)
	for name := range cmds {
		if _, ok := docs[name]; !ok {
			t.Errorf("docs/CLI.md has no section %q", name)
		}
	}
	scripts := ""
	files, err := fs.Glob(os.DirFS("testdata/script"), "*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join("testdata/script", f))
		if err != nil {
			t.Fatal(err)
		}
		scripts += string(b) + "\n"
		verb, _, _ := strings.Cut(strings.TrimSuffix(f, ".txtar"), "_")
		if !slices.Contains(words(cmds), verb) {
			t.Errorf("script %s: its first word is no subcommand", f)
		}
	}
	crash, err := os.ReadFile("crash_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range docs {
		command, _, _ := strings.Cut(name, " --")
		flags, ok := cmds[command]
		if !ok {
			t.Errorf("docs/CLI.md: %q is no command", name)
		}
		for _, f := range docFlag.FindAllString(s.text, -1) {
			if !slices.Contains(flags, f) {
				t.Errorf("docs/CLI.md: %s has no flag %s", name, f)
			}
		}
		if len(s.keys) == 0 {
			t.Errorf("docs/CLI.md: %s names no keys of its JSON", name)
		}
		if !strings.Contains(scripts, "\ndocumented "+name+"\n") && !strings.Contains(string(crash), fmt.Sprintf("w.documented(%q", name)) {
			t.Errorf("nothing compares the JSON of %q with docs/CLI.md: documented %s", name, name)
		}
	}
}

// words returns the words of all commands.
func words(m map[string][]string) (out []string) {
	for k := range m {
		out = append(out, strings.Fields(k)...)
	}
	return out
}
