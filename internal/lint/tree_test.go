package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// goFile is one Go file of the repository.
type goFile struct {
	path    string // from the repository's root, slash-separated
	pkg     string // folder, "." for the root
	test    bool
	lines   int
	imports []string
	doc     string // package comment
	name    string // of the package
}

// root is the repository's root, found by its go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above this package")
		}
		dir = filepath.Dir(dir)
	}
}

// skipped are folders that are not ours to judge: hidden ones, what tools
// build, data.
func skipped(name string) bool {
	return strings.HasPrefix(name, ".") || slices.Contains([]string{"testdata", "bin", "node_modules", "__pycache__"}, name)
}

// goFiles parses every Go file of the repository.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	var out []goFile
	walk(t, func(rel, path string) {
		if !strings.HasSuffix(rel, ".go") {
			return
		}
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Errorf("%s: %v", rel, err)
			return
		}
		g := goFile{path: rel, pkg: filepath.ToSlash(filepath.Dir(rel)), test: strings.HasSuffix(rel, "_test.go"), lines: strings.Count(string(src), "\n"), name: f.Name.Name}
		if f.Doc != nil && !onlyDirectives(f.Doc) {
			g.doc = f.Doc.Text()
		}
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			g.imports = append(g.imports, p)
		}
		out = append(out, g)
	})
	if len(out) < 20 {
		t.Fatalf("only %d Go files found: the walk is broken", len(out))
	}
	return out
}

// onlyDirectives says whether a comment group is //go:build lines alone.
func onlyDirectives(g *ast.CommentGroup) bool { return strings.TrimSpace(g.Text()) == "" }

// walk calls f for every file of the repository that is ours.
func walk(t *testing.T, f func(rel, path string)) {
	t.Helper()
	top := root(t)
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == top {
			return nil
		}
		if d.IsDir() {
			if skipped(d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		rel, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		f(filepath.ToSlash(rel), path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
