package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestPackageComments(t *testing.T) {
	docs := map[string][]string{} // package folder -> files with a comment
	var pkgs []string
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		if !slices.Contains(pkgs, f.pkg) {
			pkgs = append(pkgs, f.pkg)
		}
		if f.doc == "" {
			continue
		}
		docs[f.pkg] = append(docs[f.pkg], f.path)
		want := "Package " + f.name + " "
		if f.name == "main" {
			want = "Command " + filepath.Base(f.pkg) + " "
		}
		if !strings.HasPrefix(f.doc, want) {
			t.Errorf("%s: its package comment begins %q, expected %q", f.path, strings.SplitN(f.doc, "\n", 2)[0], want)
		}
	}
	for _, p := range pkgs {
		if n := len(docs[p]); n != 1 {
			t.Errorf("%s has %d package comments, expected one: %v", p, n, docs[p])
		}
	}
}

// vague are names that say nothing about what is inside.
var vague = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base", "lib"}

func TestNoVaguePackages(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, part := range strings.Split(f.pkg, "/") {
			if slices.Contains(vague, part) {
				t.Errorf("%s: a package called %q says nothing about what is in it", f.path, part)
			}
		}
		if name := strings.TrimSuffix(filepath.Base(f.path), ".go"); !f.test && slices.Contains(vague[:7], name) {
			t.Errorf("%s: a file called %q says nothing about what is in it", f.path, name)
		}
	}
}

func TestGoMod(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(b), "\n") {
		for _, word := range []string{"replace", "exclude", "retract"} {
			if f := strings.Fields(line); len(f) > 0 && f[0] == word {
				t.Errorf("go.mod:%d: %s: builds must be the same wherever the module is used", i+1, word)
			}
		}
	}
}

// Every module that go.mod names directly needs its line in docs/DEPENDENCIES.md.
func TestDependenciesAreDocumented(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root(t), "docs", "DEPENDENCIES.md"))
	if err != nil {
		t.Fatal(err)
	}
	imported := map[string]bool{}
	for _, f := range goFiles(t) {
		for _, i := range f.imports {
			if _, our := ours(i); !our && !standard(i) {
				imported[i] = true
			}
		}
	}
	version := regexp.MustCompile(`/v\d+$`)
	for _, line := range strings.Split(string(mod), "\n") {
		f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(f) < 2 || !strings.Contains(f[0], ".") {
			continue
		}
		used := false
		for i := range imported {
			used = used || i == f[0] || strings.HasPrefix(i, f[0]+"/")
		}
		short := version.ReplaceAllString(f[0], "")
		short = strings.TrimPrefix(short, "github.com/")
		if used && !strings.Contains(string(doc), short) {
			t.Errorf("docs/DEPENDENCIES.md says nothing about %s: what is it for, its licence, what was tried instead", f[0])
		}
	}
}
