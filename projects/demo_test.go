package projects_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// update writes a project's expected_stdout.txt from what a demo printed on
// standard output, and the parts of it that READMEs show; with "." only these:
// go test ./projects -run "Expected|Recorded" -update claims-desk=demo.log
var update = flag.String("update", "", "PROJECT=LOG: write expected_stdout.txt from a demo's standard output")

const (
	tiny      = "../engine/testdata/tiny/llama-tied"
	firstLine = "Everything below runs in projects/"
	// drift is by how many percentage points a figure of a table may differ
	// from the committed one: another CPU's kernels or another version may
	// answer a few items differently.
	drift = 6.0
)

// command is dlm, built once for all tests as `make build` does.
var command = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(scratch, "dlm")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "../cmd/dlm")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

// scratch is a folder for what the tests share.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "projects-test-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(scratch)
		return m.Run()
	}())
}

// buildCommand returns the path of dlm.
func buildCommand(t *testing.T) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the demos are shell scripts")
	}
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("the demos need bash")
	}
	bin, err := command()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// copyProject copies a project without its state.
func copyProject(t *testing.T, project string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), project)
	if err := os.CopyFS(dir, os.DirFS(project)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, ".dlm")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runDemo runs a project's demo and returns its standard output and exit code.
func runDemo(t *testing.T, dir, dlm string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(dir, "demo.sh"))
	cmd.Env = append(os.Environ(), "DLM="+dlm, "NO_COLOR=1", "CLICOLOR_FORCE=0")
	var out, notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &notes
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err != nil {
		t.Logf("standard error:\n%s", notes.String())
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// expected reads what a demo printed when it was last recorded.
func expected(t *testing.T, project string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(project, "expected_stdout.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// edit changes fields of a project's dlm.yaml; each must be there.
func edit(t *testing.T, dir string, pairs ...string) {
	t.Helper()
	file := filepath.Join(dir, "dlm.yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := string(raw)
	for i := 0; i < len(pairs); i += 2 {
		re := regexp.MustCompile(`(?m)^` + pairs[i] + `.*$`)
		if !re.MatchString(s) {
			t.Fatalf("%s has no line %q", file, pairs[i])
		}
		s = re.ReplaceAllLiteralString(s, pairs[i+1])
	}
	if err := os.WriteFile(file, []byte(s), 0o644); err != nil {
		t.Fatal(err)
	}
}

// rewrite keeps the first n rows of a data file, each changed by change.
func rewrite(t *testing.T, dir, name string, n int, change func(i int, l *line)) {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for i, l := range read(t, filepath.Base(dir), name) {
		if i == n {
			break
		}
		if change != nil {
			change(i, &l)
		}
		if err := enc.Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "data", name), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tinyProject is the project on a checkpoint that knows nothing, with data from
// which the demo's story still follows in seconds.
func tinyProject(t *testing.T, project string) string {
	t.Helper()
	base, err := filepath.Abs(tiny)
	if err != nil {
		t.Fatal(err)
	}
	dir := copyProject(t, project)
	// One answer for every message: what even this base learns in eighty steps,
	// so that the claims desk's gate passes and the planted worse adapter's fails.
	same, other := `{"intent": "contentonly", "name": "mohan"}`, `{"intent": "thankyou"}`
	edit(t, dir, "base:", "base: "+base, "  lr:", "  lr: 2e-2", "  epochs:", "  max_steps: 80\n  epochs: 1")
	every, maxDrop := 200, "25pp"  // one row of another kind: nearest-copy gets it right and the adapter does not
	if project == "bank-support" { // more of them, so that the classifier does too; the gate cannot decide
		same, other, every, maxDrop = `{"intent": "card_arrival", "route": "cards"}`, `{"intent": "age_limit", "route": "accounts"}`, 20, "2pp"
	}
	edit(t, dir, "  max_drop:", "  max_drop: "+maxDrop)
	answer := func(text string) func(int, *line) {
		return func(_ int, l *line) { l.Messages[2].Content = text }
	}
	odd := func(i int, l *line, set *string) {
		*set = same
		if i%every == 7 {
			l.Messages[1].Content, *set = "zebra crossing accident zebra "+l.ID, other
		}
	}
	rewrite(t, dir, "train.jsonl", 200, func(i int, l *line) { odd(i, l, &l.Messages[2].Content) })
	rewrite(t, dir, "golden.jsonl", 60, func(i int, l *line) { odd(i, l, &l.Target) })
	rewrite(t, dir, "held.jsonl", 10, answer(same))
	if project == "claims-desk" {
		rewrite(t, dir, "shifted.jsonl", 200, answer(other))
	}
	return dir
}

// portable says whether dlm has nothing but its plain Go kernels here.
func portable(t *testing.T, bin string) bool {
	t.Helper()
	out, err := exec.Command(bin, "-C", "bank-support", "doctor", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Machine struct {
			Chosen string `json:"kernels_chosen"`
		} `json:"machine"`
	}
	if err := json.Unmarshal(out, &d); err != nil || d.Machine.Chosen == "" {
		t.Fatalf("dlm doctor names no kernels: %v\n%s", err, out)
	}
	return d.Machine.Chosen == "portable"
}

// TestDemosOnATinyBase runs both demos to their end, offline: the same headings,
// commands, exit codes and kinds of line must come in the same order.
func TestDemosOnATinyBase(t *testing.T) {
	bin := buildCommand(t)
	for project := range files {
		t.Run(project, func(t *testing.T) {
			if portable(t, bin) {
				t.Skip("eighty training steps take plain Go many minutes: this processor has no faster kernels")
			}
			dir := tinyProject(t, project)
			got, code := runDemo(t, dir, bin)
			if code != 0 {
				t.Fatalf("exit code %d\n%s", code, got)
			}
			if d := cmp.Diff(outline(mask(expected(t, project))), outline(mask(got)), cmp.AllowUnexported(step{})); d != "" {
				t.Errorf("the demo does not fit %s/expected_stdout.txt (-expected +got):\n%s", project, d)
			}
			if project != "claims-desk" {
				return
			}
			again, code := runDemo(t, dir, bin)
			if code != 0 || !strings.Contains(again, "nothing to do: every stage is up to date") || strings.Contains(again, "done in") || strings.Contains(again, "$ dlm") {
				t.Errorf("run again: exit code %d\n%s", code, again)
			}
		})
	}
}

// TestDemosOnTheRealBase runs both demos as a reader would. It takes many
// minutes, so it runs only where it is asked for.
func TestDemosOnTheRealBase(t *testing.T) {
	if os.Getenv("DLM_TEST_DEMO") != "1" {
		t.Skip("takes many minutes: DLM_TEST_DEMO=1 go test ./projects -run RealBase -timeout 90m")
	}
	model := os.Getenv("DLM_TEST_MODEL")
	if cache, err := os.UserCacheDir(); model == "" && err == nil {
		if found, _ := filepath.Glob(filepath.Join(cache, "dlm/models/smollm2-135m-instruct/*.gguf")); found == nil {
			t.Skip("the base is not here: dlm pull smollm2-135m-instruct, or DLM_TEST_MODEL=FILE.gguf")
		}
	}
	bin := buildCommand(t)
	for project := range files {
		t.Run(project, func(t *testing.T) {
			dir := copyProject(t, project)
			if model != "" {
				edit(t, dir, "base:", "base: "+model)
			}
			got, code := runDemo(t, dir, bin)
			if code != 0 {
				t.Fatalf("exit code %d\n%s", code, got)
			}
			compare(t, expected(t, project), got)
		})
	}
}

// compare fails where two outputs differ in what is not masked, or where a
// table's figure differs by more than the tolerance.
func compare(t *testing.T, want, got string) {
	t.Helper()
	if d := cmp.Diff(mask(want), mask(got)); d != "" {
		t.Errorf("not what expected_stdout.txt has (-expected +got):\n%s\nall of it:\n%s", d, got)
		return
	}
	x, y := tableRows(want), tableRows(got)
	for i := range min(len(x), len(y)) {
		if d := tableDrift(x[i], y[i]); d > drift {
			t.Errorf("a figure differs by %.1f points, more than %.0f:\n%s\n%s", d, drift, x[i], y[i])
		}
	}
}

func tableRows(text string) (rows []string) {
	for _, l := range strings.Split(text, "\n") {
		if row.MatchString(l) {
			rows = append(rows, l)
		}
	}
	return rows
}

// TestExpectedOutput writes what -update gives, and checks what is committed: a
// demo that came to its end, without a trace of one machine.
func TestExpectedOutput(t *testing.T) {
	if project, log, ok := strings.Cut(*update, "="); ok {
		raw, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		i := bytes.Index(raw, []byte(firstLine))
		if i < 0 {
			t.Fatalf("%s: no line begins %q: this is no demo's output", log, firstLine)
		}
		// Where the base lay or came from is about one machine.
		out := regexp.MustCompile(`(?m)^base .*$`).ReplaceAll(raw[i:], []byte("base       <where it came from>"))
		out = regexp.MustCompile(`, by [^\s)]+\)`).ReplaceAll(out, []byte(", by you)"))
		if err := os.WriteFile(filepath.Join(project, "expected_stdout.txt"), out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	last := map[string]string{"claims-desk": "dlm init my-desk --from your.jsonl", "bank-support": "The gate cannot decide"}
	for project := range files {
		text := expected(t, project)
		lines := strings.Split(strings.TrimSpace(text), "\n")
		if !strings.HasPrefix(text, firstLine) || !strings.HasPrefix(lines[len(lines)-1], last[project]) {
			t.Errorf("%s/expected_stdout.txt: expected %q at the beginning, %q in the last line", project, firstLine, last[project])
		}
		for _, bad := range []string{"\x1b", "/tmp/", "items\nzero-shot: "} {
			if strings.Contains(text, bad) {
				t.Errorf("%s/expected_stdout.txt holds %q: record standard output alone, not on a terminal", project, bad)
			}
		}
	}
	if !strings.Contains(expected(t, "claims-desk"), "largest difference of a token: 0\n") {
		t.Error("claims-desk/expected_stdout.txt: served and trained log-probability differ")
	}
}

// TestMaskSeesWhatMatters: each of these changes to the recorded output must
// fail the comparison.
func TestMaskSeesWhatMatters(t *testing.T) {
	want := expected(t, "claims-desk")
	for _, c := range [][2]string{
		{"largest difference of a token: 0", "largest difference of a token: 1e-7"},
		{"(refused, exit code 3)", "(refused, exit code 4)"},
		{"gate: pass", "gate: inconclusive"},
		{"--end-of-turn --training", "--training"},
		{"--preview 2", "--preview 3"},
		{"has an empty completion mask", "has an empty prompt"},
		{"nearest-copy ", "nearest "},
		{"held-out loss", "loss"},
		{"8. Promotion", "9. Promotion"},
		{"fixed, ", "repaired, "},
	} {
		if !strings.Contains(want, c[0]) {
			t.Errorf("expected_stdout.txt does not hold %q", c[0])
			continue
		}
		broken := strings.Replace(want, c[0], c[1], 1)
		if cmp.Equal(mask(want), mask(broken)) {
			t.Errorf("%q instead of %q is not seen", c[1], c[0])
		}
		if cmp.Equal(outline(mask(want)), outline(mask(broken)), cmp.AllowUnexported(step{})) {
			t.Errorf("%q instead of %q is not seen in the outline", c[1], c[0])
		}
	}
	if d := tableDrift("zero-shot        0.0 [  0.0,   6.6]  * 36.2 [ 26.3,  47.6]", "zero-shot        0.0 [  0.0,   6.6]    23.0 [ 26.3,  47.6]"); d < 13 || d > 13.3 {
		t.Errorf("tableDrift: %g, expected 13.2", d)
	}
	for a, b := range map[string]string{
		"step    1/75  loss 3.1589  lr 0.00e+00  |grad| 2.88  152 tokens/s  2 min 11 s left": "step   75/75  loss 0.1  lr 6.16e-06  |grad| 0.38  1217 tokens/s  0.0 s left",
		"eval      done in 12 s (run r-261124-085338-4362d)":                                 "eval      done in 79.2 ms (run r-261125-085338-0000d)",
		"prod -> 4a5ee72583d8 (promote, by root)":                                            "prod -> 000000000000 (promote, by ann)",
		"zero-shot        0.0 [  0.0,   6.6]    73.8 [ 62.7,  82.4]   749 ms":                "zero-shot     *100.0 [  0.0, 100.0]  *  3.8 [ 62.7,  82.4]   <1 ms",
	} {
		if x, y := maskLine(a), maskLine(b); x != y {
			t.Errorf("%q and %q differ when masked", x, y)
		}
	}
}
