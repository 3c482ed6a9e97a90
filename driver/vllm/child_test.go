package vllm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dlm"
	"dlm/internal/testkit"
)

// The test's own binary stands in for Python: VLLM_FAKE says what it does then.
func TestMain(m *testing.M) {
	if mode := os.Getenv("VLLM_FAKE"); mode != "" {
		os.Exit(fakeChild(mode, os.Args[1:]))
	}
	os.Exit(m.Run())
}

func argument(args []string, name string) string {
	if i := slices.Index(args, name); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

func fakeChild(mode string, args []string) int {
	fmt.Println("INFO 11-24 13:41:17 [api_server.py:1] arguments:", strings.Join(args, " "))
	switch mode {
	case "traceback":
		fmt.Fprintln(os.Stderr, "(EngineCore pid=3) ERROR 11-24 13:41:17 [core.py:7] Traceback (most recent call last):")
		fmt.Fprintln(os.Stderr, "(EngineCore pid=3) ERROR 11-24 13:41:17 [core.py:7] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
		fmt.Fprintln(os.Stderr, "RuntimeError: Engine core initialization failed. See root cause above.")
		return 1
	case "hang":
		time.Sleep(time.Minute)
		return 0
	case "owner": // a dlm that starts a child and is killed
		e, err := Open(context.Background(), childOptions(args[1], "serve"))
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("child", e.child.cmd.Process.Pid)
		time.Sleep(time.Minute)
		return 0
	}
	f := &fake{seed: baseSeed, key: os.Getenv("VLLM_API_KEY"), dies: mode == "dies"}
	server := http.Server{Addr: "127.0.0.1:" + argument(args, "--port"), Handler: f}
	fmt.Println(server.ListenAndServe())
	return 1
}

// childOptions are of a child that is this test's binary.
func childOptions(dir, mode string) Options {
	os.Setenv("VLLM_FAKE", mode) //nolint:usetesting // read by the child; also used outside of a test
	self, _ := os.Executable()
	return Options{Python: self, Model: "folder", Dir: dir, Rank: 12, Loras: 2, Known: 5, DType: "float32", MaxLen: 512, GPU: 0.5,
		Args: []string{"--max-num-seqs", "4"}, Codec: testkit.ByteCodec{}, Probe: toyProbe, StartTimeout: 2 * time.Minute}
}

func startChild(t *testing.T, dir, mode string) (*Engine, error) {
	t.Helper()
	o := childOptions(dir, mode)
	t.Cleanup(func() { os.Unsetenv("VLLM_FAKE") })
	e, err := Open(context.Background(), o)
	if err == nil {
		t.Cleanup(func() { e.Close() })
	}
	return e, err
}

func TestChild(t *testing.T) {
	dir := t.TempDir()
	e, err := startChild(t, dir, "serve")
	if err != nil {
		t.Fatal(err)
	}
	good, other := adapter(t, 3, 1), adapter(t, 4, 1)
	for _, a := range []string{"", good, other} {
		if _, err := one(e, dlm.GenerateRequest{Raw: "Hi", Adapter: a, Sampling: dlm.Sampling{MaxTokens: 3}}); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.ReadFile(e.Log())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"-m vllm.entrypoints.openai.api_server", "--model folder", "--served-model-name base", "--host 127.0.0.1", "--enable-lora",
		"--max-lora-rank 16", "--max-loras 2", "--max-cpu-loras 5", "--dtype float32", "--max-model-len 512", "--gpu-memory-utilization 0.5", "--max-num-seqs 4"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("vLLM was not started with %s: %s", want, log)
		}
	}

	// A second one on this folder would take the first one's memory and claim.
	_, err = startChild(t, dir, "serve")
	mustRefuse(t, err, false, "runs already", "vllm.url")

	large := adapter(t, 5, 1)
	if err := os.WriteFile(filepath.Join(large, configFile), []byte(`{"r": 32}`), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = one(e, dlm.GenerateRequest{Raw: "Hi", Adapter: large, Sampling: dlm.Sampling{MaxTokens: 1}})
	mustRefuse(t, err, false, "rank 32", "up to 16")

	pid := e.child.cmd.Process.Pid
	e.Close()
	if isAlive(pid, startOf(pid)) {
		t.Error("the child outlives Close")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 || filepath.Base(left[0]) != "vllm.log" {
		t.Errorf("left in the folder: %v", left)
	}
}

// TestKilledChild: kill -9 in the middle of an answer gives the last words.
func TestKilledChild(t *testing.T) {
	e, err := startChild(t, t.TempDir(), "serve")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	_, err = e.Generate(context.Background(), []dlm.GenerateRequest{{Raw: "Hi", Sampling: dlm.Sampling{MaxTokens: 300, Temperature: 1}}}, func(int, dlm.Token) {
		if seen++; seen == 3 {
			killGroup(e.child.cmd.Process.Pid)
		}
	})
	mustRefuse(t, err, false, "signal: killed", "last words", "arguments:", "vllm.log")
	_, err = one(e, dlm.GenerateRequest{Raw: "Hi"})
	mustRefuse(t, err, false, "signal: killed")
}

// TestDyingEngine: vLLM's server says that its engine died; why stands in the log.
func TestDyingEngine(t *testing.T) {
	e, err := startChild(t, t.TempDir(), "dies")
	if err != nil {
		t.Fatal(err)
	}
	_, err = one(e, dlm.GenerateRequest{Raw: "Hi"})
	mustRefuse(t, err, false, "last words", "TimeoutError: RPC call to execute_model timed out", "vllm.log")
}

func TestChildThatDoesNotStart(t *testing.T) {
	_, err := startChild(t, t.TempDir(), "traceback")
	mustRefuse(t, err, false, "exit status 1", "torch.OutOfMemoryError: CUDA out of memory", "vllm.log")

	o := childOptions(t.TempDir(), "hang")
	o.StartTimeout = 300 * time.Millisecond
	_, err = Open(context.Background(), o)
	mustRefuse(t, err, false, "300ms", "start_timeout", "its last line")

	o.StartTimeout = time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err = Open(ctx, o); err == nil || ctx.Err() == nil {
		t.Errorf("cancelled while it starts: %v", err)
	}

	o.Python = filepath.Join(t.TempDir(), "no-python")
	_, err = Open(context.Background(), o)
	mustRefuse(t, err, false, "no-python", "DLM_VLLM_PYTHON")

	o.Rank = 600
	_, err = Open(context.Background(), o)
	mustRefuse(t, err, false, "600", "512")
}

// TestKilledOwner: when dlm is killed its vLLM goes, or the next dlm ends it.
func TestKilledOwner(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	owner := exec.Command(self, "owner", dir)
	owner.Env = append(os.Environ(), "VLLM_FAKE=owner")
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = owner.Process.Kill() }()
	var pid int
	for { // the child's log comes first
		var word string
		if _, err := fmt.Fscan(out, &word); errors.Is(err, io.EOF) {
			t.Fatal("the owner ended without a child")
		}
		if word == "child" {
			if _, err := fmt.Fscan(out, &pid); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	began := startOf(pid)
	if err := owner.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	if _, err := startChild(t, dir, "serve"); err != nil {
		t.Fatalf("after a dlm was killed: %v", err)
	}
	for i := 0; isAlive(pid, began); i++ {
		if i == 3000 {
			t.Fatal("the killed dlm's vLLM still runs")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestLastWords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for text, want := range map[string]string{
		"": "none",
		"INFO 11-24 13:41:17 [a.py:1] loading\n\n":                                                        "loading",
		"x\nValueError: no such model\nRuntimeError: Engine core initialization failed.\n":                "ValueError: no such model",
		"(W pid=9) ERROR 11-24 13:41:17 [core.py:7] huggingface_hub.errors.HFValidationError: bad name\n": "huggingface_hub.errors.HFValidationError: bad name",
		"OSError: [Errno 98] Address already in use\n":                                                    "OSError: [Errno 98] Address already in use",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := lastWords(path); got != want {
			t.Errorf("%q: %q, expected %q", text, got, want)
		}
	}
}

func TestInspect(t *testing.T) {
	s := httptest.NewServer(&fake{})
	defer s.Close()
	ctx := context.Background()
	if f := Inspect(ctx, Options{URL: s.URL}); f.Version != "0.32.0" || f.Problem != "" {
		t.Errorf("a running one: %+v", f)
	}
	bin := t.TempDir()
	python := func(name, script string) string {
		path := filepath.Join(bin, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if f := Inspect(ctx, Options{Python: python("good", `echo '{"version":"0.32.0","torch":"2.13.0"}'`)}); f.Version != "0.32.0" || f.Torch != "2.13.0" || f.Problem != "" {
		t.Errorf("a Python with it: %+v", f)
	}
	for want, o := range map[string]Options{
		"has no vLLM":     {Python: python("bare", `echo '{"version":"","torch":""}'`)},
		"cannot be run":   {Python: filepath.Join(bin, "missing")},
		"no Python":       {},
		"does not answer": {URL: "http://127.0.0.1:1"},
	} {
		if f := Inspect(ctx, o); !strings.Contains(f.Problem, want) {
			t.Errorf("%+v: %+v, expected %q", o, f, want)
		}
	}
}
