package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// DO NOT CHANGE THESE TABLES TO FIX A BUILD: they are the architecture, in
// docs/ARCHITECTURE.md in words. A package may import what its row lists and
// nothing else of this module; "x/..." is x and everything below it. The first
// row that fits counts.
var mayImport = []struct {
	pkg   string
	allow []string
}{
	{".", nil},
	{"engine", nil},
	{"engine/kernel", nil}, // engine/kernel/ceiling is for its benchmarks only
	{"engine/kernel/...", []string{"engine/kernel/..."}},
	{"engine/weights", []string{"engine/kernel"}},
	{"engine/optim", []string{"engine/kernel"}},
	{"engine/loss", []string{"engine/kernel"}},
	{"engine/sample", []string{"engine/kernel"}},
	{"engine/model", []string{"engine/kernel", "engine/weights"}},
	{"engine/lora", []string{"engine/kernel", "engine/weights", "engine/model"}},
	{"engine/kv", []string{"engine/kernel"}},
	{"engine/infer", []string{"engine/kernel", "engine/weights", "engine/model", "engine/lora", "engine/kv", "engine/sample"}},
	{"engine/train", []string{"engine/kernel", "engine/weights", "engine/model", "engine/lora", "engine/loss", "engine/optim"}},
	{"engine/tokenizer", nil},
	{"engine/chat", []string{"engine/tokenizer"}},
	{"engine/grammar", nil},
	{"internal/lint", nil},
	{"internal/stats", nil},
	{"internal/child", nil},
	{"internal/testkit", []string{"."}},
	{"internal/remote", []string{"."}},
	{"stage/evals", []string{".", "internal/stats"}},
	{"stage/gate", []string{".", "internal/stats"}},
	{"stage/...", []string{"."}},
	{"driver/native", []string{".", "engine/..."}},
	{"driver/llamacpp", []string{".", "internal/child", "internal/remote"}},
	{"driver/ollama", []string{".", "internal/child", "internal/remote"}},
	{"driver/openai", []string{".", "internal/remote"}},
	{"driver/vllm", []string{".", "internal/remote"}},
	{"driver/...", []string{"."}},
	{"lifecycle", []string{".", "stage/..."}},
	{"serve", []string{".", "serve/openai"}},
	{"serve/openai", []string{"."}},
	{"serve/route", []string{".", "serve", "stage/registry"}},
	{"serve/tenant", []string{".", "serve"}},
	{"serve/watch", []string{".", "serve"}},
	{"serve/load", []string{".", "internal/stats"}},
	{"cmd/...", []string{".", "lifecycle", "stage/...", "driver/...", "serve/...", "cmd/..."}},
	{"projects/...", []string{"."}},
	{"bench/...", []string{".", "driver/..."}},
	{"interop/...", []string{".", "driver/..."}},
}

// testsMayImport is what test files may import besides.
var testsMayImport = []struct {
	pkg   string
	allow []string
}{
	{"engine/...", []string{"engine/..."}}, // whole-model tests stand beside the part they test
	{"driver/...", []string{"internal/testkit"}},
	{"stage/...", []string{"internal/testkit"}},
	{"lifecycle", []string{"internal/testkit"}},
	{"serve/...", []string{"serve/...", "internal/testkit"}},
	{"internal/testkit", nil},
	{"cmd/...", []string{"internal/testkit", "internal/stats"}},
	{"projects/...", []string{"lifecycle", "stage/...", "driver/..."}},
	{"interop/...", []string{"internal/testkit"}}, // the ports' suites on real peers
}

// outside are limits on imports from elsewhere, standard library included:
// which packages may not import which, and why.
var outside = []struct {
	pkg, forbidden, why string
}{
	{".", "os", "the root package does no I/O"},
	{".", "net...", "the root package does no I/O"},
	{"engine/...", "net...", "the engine knows nothing of HTTP"},
	{"engine/...", "database/sql", "the engine knows nothing of stores"},
	{"stage/...", "net/http", "stages reach the outside through ports"},
	{"stage/...", "database/sql", "stages reach the outside through ports"},
	{"lifecycle", "database/sql", "the lifecycle reaches its store through a port"},
	{"lifecycle", "net/http", "the lifecycle reaches the outside through ports"},
	{"engine/kernel/...", "C", "one static binary without cgo"},
}

// thirdParty says which packages may import modules from elsewhere, and which.
var thirdParty = []struct {
	pkg   string
	allow []string
}{
	{".", nil},
	{"engine/chat", []string{"github.com/ardanlabs/jinja..."}},
	{"engine/tokenizer", []string{"golang.org/x/text/..."}},
	{"engine/...", []string{"golang.org/x/sys/..."}},
	{"stage/curate", []string{"golang.org/x/text/..."}},
	{"stage/evals", []string{"github.com/santhosh-tekuri/jsonschema/v6...", "gonum.org/v1/gonum/...", "golang.org/x/text/..."}},
	{"stage/gate", []string{"gonum.org/v1/gonum/..."}},
	{"stage/...", nil},
	{"internal/stats", []string{"gonum.org/v1/gonum/..."}},
	{"internal/...", nil},
	{"lifecycle", []string{"github.com/goccy/go-yaml...", "golang.org/x/sys/..."}},
	{"driver/sqlite", []string{"modernc.org/sqlite...", "github.com/pressly/goose/v3", "golang.org/x/sys/..."}},
	{"driver/...", []string{"golang.org/x/sys/..."}},
	{"serve/watch", []string{"github.com/prometheus/client_golang/...", "go.opentelemetry.io/..."}},
	{"serve/...", []string{"golang.org/x/sys/..."}},
	{"cmd/...", []string{"github.com/alecthomas/kong", "github.com/vbauerster/mpb/v8...", "golang.org/x/term", "golang.org/x/sys/..."}},
}

// matches says whether pkg fits pattern: equal, or below "x/..."; "x..." is
// every path that begins with x.
func matches(pkg, pattern string) bool {
	if p, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == p || strings.HasPrefix(pkg, p+"/")
	}
	if p, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(pkg, p)
	}
	return pkg == pattern
}

func allows(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(pkg, p) })
}

// ours turns an import path into a folder of this module.
func ours(path string) (string, bool) {
	if path == "dlm" {
		return ".", true
	}
	return strings.CutPrefix(path, "dlm/")
}

// standard says whether an import is of the standard library.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// checkImports lists what is wrong with the imports of one file.
func checkImports(f goFile) []string {
	var bad []string
	var inside, tests, third []string
	known, judged := false, false
	for _, r := range mayImport {
		if matches(f.pkg, r.pkg) {
			inside, known = r.allow, true
			break
		}
	}
	if !known {
		return []string{"the package has no row in mayImport: decide what it may import and add one"}
	}
	for _, r := range testsMayImport {
		if f.test && matches(f.pkg, r.pkg) {
			tests = append(tests, r.allow...)
		}
	}
	for _, r := range thirdParty {
		if matches(f.pkg, r.pkg) {
			third, judged = r.allow, true
			break
		}
	}
	for _, imp := range f.imports {
		if dir, our := ours(imp); our {
			if dir != f.pkg && !allows(inside, dir) && !allows(tests, dir) {
				bad = append(bad, fmt.Sprintf("imports %s, which %s may not know (allowed: %s)", imp, f.pkg, strings.Join(append(slices.Clone(inside), tests...), ", ")))
			}
			continue
		}
		for _, o := range outside {
			if matches(f.pkg, o.pkg) && matches(imp, o.forbidden) && !f.test {
				bad = append(bad, fmt.Sprintf("imports %s: %s", imp, o.why))
			}
		}
		if !standard(imp) && judged && !f.test && !allows(third, imp) {
			bad = append(bad, fmt.Sprintf("imports %s: %s may use %s of other modules", imp, f.pkg, listOr(third)))
		}
	}
	return bad
}

func listOr(s []string) string {
	if len(s) == 0 {
		return "none"
	}
	return strings.Join(s, ", ")
}

func TestImports(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, b := range checkImports(f) {
			t.Errorf("%s %s", f.path, b)
		}
	}
}

// The rules must be able to fail.
func TestImportRulesBite(t *testing.T) {
	for _, c := range []struct {
		pkg, imp string
		test, ok bool
	}{
		{"stage/gate", "dlm/stage/evals", false, false},
		{"stage/gate", "dlm/stage/evals", true, false},
		{"stage/gate", "dlm/driver/sqlite", false, false},
		{"stage/gate", "dlm", false, true},
		{"stage/gate", "net/http", false, false},
		{"stage/gate", "github.com/alecthomas/kong", false, false},
		{"engine/model", "dlm", false, false},
		{"engine/model", "dlm/engine/lora", false, false},
		{"engine/model", "dlm/engine/lora", true, true},
		{"engine/train", "dlm/engine/chat", false, false},
		{"engine/infer", "dlm/engine/train", false, false},
		{"engine/kernel", "dlm/engine/kernel/ceiling", false, false},
		{"engine/kernel", "dlm/engine/kernel/ceiling", true, true},
		{"driver/hub", "dlm/driver/native", false, false},
		{"driver/hub", "dlm/engine/weights", false, false},
		{"driver/native", "dlm/engine/weights", false, true},
		{"lifecycle", "dlm/driver/sqlite", false, false},
		{"lifecycle", "dlm/stage/gate", false, true},
		{".", "os", false, false},
		{".", "github.com/google/go-cmp/cmp", false, false},
		{"somewhere/new", "fmt", false, false},
		{"cmd/dlm", "dlm/engine/model", false, false},
	} {
		bad := checkImports(goFile{path: "x.go", pkg: c.pkg, test: c.test, imports: []string{c.imp}})
		if (len(bad) == 0) != c.ok {
			t.Errorf("%s imports %s (test %v): %v, want allowed = %v", c.pkg, c.imp, c.test, bad, c.ok)
		}
	}
}
