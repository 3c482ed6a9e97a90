package vllm

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dlm"
	"dlm/driver/native"
	"dlm/driver/vllm"
	"dlm/internal/testkit"
)

// start runs a real vLLM with the base of n as a Hugging Face folder.
func start(t *testing.T, n *native.Native, dtype string, change func(*vllm.Options)) (*vllm.Engine, error) {
	t.Helper()
	as := "bf16"
	if dtype == "float32" {
		as = "f32"
	}
	folder := filepath.Join(t.TempDir(), "hf")
	if err := n.WriteHF(folder, native.FolderOptions{Dtype: as}); err != nil {
		t.Fatal(err)
	}
	o := vllm.Options{
		Python: need(t, "DLM_VLLM_PYTHON", "a Python that has vLLM"), Model: folder, Dir: t.TempDir(), DType: dtype, MaxLen: 1024,
		Rank: 16, Loras: 2, Known: 4, Args: []string{"--max-num-seqs", "16", "--enforce-eager"}, Codec: n,
		Probe: func(_ context.Context, dir string) (dlm.Probe, error) { return n.Probe(dir) },
		Note:  func(s string) { t.Log(s) },
	}
	if change != nil {
		change(&o)
	}
	e, err := vllm.Open(context.Background(), o)
	if err == nil {
		t.Cleanup(func() { e.Close() })
	}
	return e, err
}

// TestReal: a real vLLM is started, serves two adapters that answer as
// themselves, passes the ports' suites, refuses what is not what it says, and
// ends with its last words.
func TestReal(t *testing.T) {
	n := open(t, "f32")
	one, two := trained(t, n), train(t, n, 2, 6)
	e, err := start(t, n, "float32", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("vLLM", e.Version())
	ctx := context.Background()
	ask := func(adapter string) (dlm.Completion, error) {
		out, err := e.Generate(ctx, []dlm.GenerateRequest{{
			Messages: []dlm.Message{{Role: "user", Content: "I lost my card yesterday, what should I do now?"}}, Adapter: adapter, Sampling: dlm.Sampling{MaxTokens: 16},
		}}, nil)
		if err != nil {
			return dlm.Completion{}, err
		}
		return out[0], nil
	}
	for _, a := range []string{"", one, two} {
		c, err := ask(a)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-20s %q", filepath.Base(a), c.Text)
	}

	t.Run("planted", func(t *testing.T) {
		for _, from := range []string{one, two} {
			_, err := ask(planted(t, from))
			if err == nil || !errors.Is(err, vllm.ErrIdentity) || !strings.Contains(err.Error(), "answers as the base") {
				t.Errorf("an adapter whose B was zeroed: %v", err)
			} else {
				t.Log(err)
			}
		}
	})
	t.Run("unload", func(t *testing.T) {
		if err := e.Unload(ctx, two); err != nil {
			t.Fatal(err)
		}
		if _, err := ask(two); err != nil { // it is loaded again
			t.Fatal(err)
		}
	})

	o := testkit.GeneratorOptions{Adapters: []string{one, two}, Tolerance: 0.02, Codec: n}
	t.Run("generator", func(t *testing.T) { testkit.Generator(t, e, o) })
	t.Run("calls", func(t *testing.T) { testkit.GeneratorCalls(t, e, o) })
	t.Run("fields", func(t *testing.T) { testkit.GeneratorFields(t, e, o) })
	t.Run("scorer", func(t *testing.T) { testkit.Scorer(t, e, o) })
	t.Run("generator and scorer", func(t *testing.T) { testkit.GeneratorScorer(t, e, e, o) })

	t.Run("killed", func(t *testing.T) {
		seen := 0
		_, err := e.Generate(ctx, []dlm.GenerateRequest{{Raw: "Once upon a time", Sampling: dlm.Sampling{MaxTokens: 400, Temperature: 1}}}, func(int, dlm.Token) {
			if seen++; seen == 3 {
				_ = syscall.Kill(e.PID(), syscall.SIGKILL)
			}
		})
		if err == nil || !strings.Contains(err.Error(), "last words") || !strings.Contains(err.Error(), "killed") {
			t.Errorf("after kill -9 in an answer: %v", err)
		} else {
			t.Log(err)
		}
	})
}

// TestRealRefusesAnotherBase: a vLLM that serves other weights is found out
// before it answers anything.
func TestRealRefusesAnotherBase(t *testing.T) {
	n := open(t, "f32")
	p, err := n.Probe("")
	if err != nil {
		t.Fatal(err)
	}
	_, err = start(t, n, "bfloat16", func(o *vllm.Options) {
		folder := filepath.Join(t.TempDir(), "merged")
		if err := n.WriteHF(folder, native.FolderOptions{Dtype: "bf16", Adapter: trained(t, n)}); err != nil {
			t.Fatal(err)
		}
		o.Model, o.Probe = folder, func(context.Context, string) (dlm.Probe, error) { return p, nil }
	})
	if err == nil || !errors.Is(err, vllm.ErrIdentity) {
		t.Errorf("a base with an adapter merged into it: %v", err)
	} else {
		t.Log(err)
	}
}

// TestRealSaysWhyItDoesNotStart: an argument that vLLM refuses.
func TestRealSaysWhyItDoesNotStart(t *testing.T) {
	n := open(t, "bf16")
	_, err := start(t, n, "bfloat16", func(o *vllm.Options) { o.Args = []string{"--max-num-seqs", "none"} })
	if err == nil || !strings.Contains(err.Error(), "--max-num-seqs") {
		t.Errorf("a wrong argument: %v", err)
	} else {
		t.Log(err)
	}
}
