package projects_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// served are the adapters of the serving project: where their rows lie, from its
// folder, and how many there are.
var served = map[string]struct {
	train, held, golden string
	rows, items         int
	tiny                string // the one answer that a base which knows nothing learns
}{
	"bank":      {"../bank-support/data/quick-train.jsonl", "../bank-support/data/held.jsonl", "../bank-support/data/quick-golden.jsonl", 616, 77, `{"intent": "card_arrival", "route": "cards"}`},
	"claims":    {"../claims-desk/data/quick-train.jsonl", "../claims-desk/data/held.jsonl", "../claims-desk/data/quick-golden.jsonl", 400, 80, `{"intent": "thankyou"}`},
	"sql":       {"data/sql-train.jsonl", "data/sql-held.jsonl", "data/sql-golden.jsonl", 400, 60, "SELECT 1"},
	"abstracts": {"data/abstracts-train.jsonl", "data/abstracts-held.jsonl", "data/abstracts-golden.jsonl", 144, 30, "It works well."},
}

// readAt reads a file of rows, from the serving project's folder.
func readAt(t *testing.T, file string) []line {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("serving", file))
	if err != nil {
		t.Fatal(err)
	}
	var out []line
	for _, text := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, l)
	}
	return out
}

func TestServingProjectIsComplete(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for _, name := range []string{"README.md", "LIFT.md", "dlm.yaml", "demo.sh", "expected_stdout.txt", "compose.yaml", "prometheus.yml", "locustfile.py",
		"data/README.md", "data/ATTRIBUTION.md", "data/LICENSE-sql", "data/LICENSE-abstracts", "data/prepare.py"} {
		raw, err := os.ReadFile(filepath.Join("serving", name))
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(string(raw), -1) {
			if _, err := os.Stat(filepath.Join("serving", filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	}
}

// The adapters share one store, promote under their own names, and learn nothing
// that they are judged by.
func TestServingAdapters(t *testing.T) {
	for name, a := range served {
		raw, err := os.ReadFile(filepath.Join("serving", "adapters", name, "dlm.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"project: " + name + "\n", "store: ../..", "alias: " + name + "@prod"} {
			if !strings.Contains(string(raw), want) {
				t.Errorf("adapters/%s/dlm.yaml has no %q", name, want)
			}
		}
		train, golden := readAt(t, a.train), readAt(t, a.golden)
		if len(train) != a.rows || len(golden) != a.items {
			t.Errorf("%s: %d rows and %d items, data/README.md names %d and %d", name, len(train), len(golden), a.rows, a.items)
		}
		asked := map[string]bool{}
		for _, g := range golden {
			asked[user(g)] = true
			if g.Target == "" || len(g.Messages) != 2 {
				t.Errorf("%s: golden item %s", name, g.ID)
			}
		}
		for _, r := range append(train, readAt(t, a.held)...) {
			if asked[user(r)] || len(r.Messages) != 3 {
				t.Errorf("%s: row %s is a golden item, or no conversation", name, r.ID)
			}
		}
	}
}

func TestServingCompose(t *testing.T) {
	bin := buildCommand(t)
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "projects", "serving")
	p, err := load(t, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := p.Services["dlm"]
	if p.Name != "serving" || len(p.Services) != 3 || s.Build == nil || s.Build.Context != root || s.WorkingDir != "/projects/serving" {
		t.Errorf("%s: %+v", p.Name, s)
	}
	if out, err := exec.Command(bin, append(slices.Clone([]string(s.Command)), "--help")...).CombinedOutput(); err != nil {
		t.Errorf("dlm %v is no command: %v\n%s", s.Command, err, out)
	}
	for name, service := range p.Services {
		for _, v := range service.Volumes {
			if _, err := os.Stat(v.Source); v.Type == "bind" && err != nil {
				t.Errorf("%s mounts %s: %v", name, v.Source, err)
			}
		}
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open beyond this machine", name, port.Published)
			}
		}
	}
	raw, err := os.ReadFile("serving/prometheus.yml")
	if err != nil || !strings.Contains(string(raw), `"dlm:8080"`) {
		t.Errorf("prometheus.yml does not scrape dlm:8080: %v", err)
	}
}

// tinyServing is the project on a checkpoint that knows nothing. Each adapter
// learns one answer.
func tinyServing(t *testing.T) string {
	t.Helper()
	base, err := filepath.Abs(tiny)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "serving")
	if err := os.CopyFS(dir, os.DirFS("serving")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, ".dlm")); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, "base:", "base: "+base)
	rng := rand.New(rand.NewPCG(1, 1))
	write := func(file, answer string, n int, golden bool) {
		var b strings.Builder
		for i := range n {
			words := make([]string, 6)
			for j := range words {
				for range 5 {
					words[j] += string(rune('a' + rng.IntN(26)))
				}
			}
			l := line{ID: fmt.Sprintf("%s-%d", filepath.Base(file), i), Messages: []message{{"system", "Answer."}, {"user", strings.Join(words, " ")}}}
			if golden {
				l.Target = answer
			} else {
				l.Messages = append(l.Messages, message{"assistant", answer})
			}
			raw, err := json.Marshal(l)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString(strings.NewReplacer(`":"`, `": "`, `":[`, `": [`, `,"`, `, "`).Replace(string(raw)) + "\n")
		}
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, a := range served {
		edit(t, filepath.Join(dir, "adapters", name), "base:", "base: "+base, "  lr:", "  lr: 2e-2", "  epochs:", "  max_steps: 60\n  epochs: 1",
			"  max_len:", "  max_len: 512", "  eval_every:", "  eval_every: 60", "  batch_size:", "  batch_size: 8")
		write(a.train, a.tiny, 120, false)
		write(a.held, a.tiny, 4, false)
		write(a.golden, a.tiny, 24, true)
	}
	return dir
}

// TestServingDemoOnATinyBase runs the demo to its end, offline: the same
// headings, commands and kinds of line come in the same order, no request fails.
func TestServingDemoOnATinyBase(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("the demo asks with curl")
	}
	bin := buildCommand(t)
	if portable(t, bin) {
		t.Skip("training takes plain Go many minutes: this processor has no faster kernels")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("ADDR", l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got, code := runDemo(t, tinyServing(t), bin)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, got)
	}
	if d := cmp.Diff(outline(mask(expected(t, "serving"))), outline(mask(got)), cmp.AllowUnexported(step{})); d != "" {
		t.Errorf("the demo does not fit serving/expected_stdout.txt (-expected +got):\n%s\n%s", d, got)
	}
	checkServed(t, got)
}

// checkServed checks what must be so in every run of the demo: no load failed,
// who was asked answered, and the alias moved there and back.
func checkServed(t *testing.T, text string) {
	t.Helper()
	if loads := strings.Count(text, " requests, 0 failed;"); loads != 4 || strings.Count(text, " failed;") != 4 {
		t.Errorf("%d loads without a failure, expected 4", loads)
	}
	for name := range served {
		if !strings.Contains(text, "answered by "+name+"@prod\n") {
			t.Errorf("%s did not answer", name)
		}
	}
	moved := text[strings.LastIndex(text, "answered by\n"):]
	if versions := regexp.MustCompile(`bank@prod [0-9a-f]{12} \(`).FindAllString(moved, -1); len(versions) != 2 || versions[0] == versions[1] {
		t.Errorf("while the alias moved %d versions answered for it, expected 2:\n%s", len(versions), moved)
	}
	if !strings.Contains(text, "ended: no request was cut off\n(exit code 0)") {
		t.Error("it did not end well")
	}
}

func TestServingExpectedOutput(t *testing.T) {
	text := expected(t, "serving")
	if !strings.HasPrefix(text, firstLine+"serving;") || strings.Contains(text, "\x1b") || strings.Contains(text, "/tmp/") {
		t.Error("serving/expected_stdout.txt: record a demo's standard output, not on a terminal")
	}
	checkServed(t, text)
}
