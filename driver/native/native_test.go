package native

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"dlm"
	"dlm/engine/lora"
	"dlm/internal/testkit"
)

const tinyDir = "../../engine/testdata/tiny"

// bases are the tiny checkpoints, as folders and as a GGUF file.
var bases = []string{"llama-tied", "llama3-untied", "qwen2", "qwen3", "llama-tied/q4_1.gguf"}

func open(t testing.TB, name string, o Options) *Native {
	t.Helper()
	t.Setenv("DLM_CACHE", t.TempDir())
	n, err := Open(filepath.Join(tinyDir, filepath.FromSlash(name)), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// bound writes an adapter of random values for n and returns its folder. zero
// leaves B zero.
func bound(t testing.TB, n *Native, rank int, zero bool) string {
	t.Helper()
	a := lora.New(n.m, lora.Config{Rank: rank, Alpha: 2 * float64(rank)}, 5)
	r := rand.New(rand.NewPCG(uint64(rank), 1))
	for _, p := range a.Params() {
		if p.Transposed && !zero {
			for i := range p.Value {
				p.Value[i] = float32(r.NormFloat64() * 0.05)
			}
		}
	}
	a.Repack(n.x)
	dir := filepath.Join(t.TempDir(), "adapter")
	if err := a.Save(dir, n.id); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestConformance(t *testing.T) {
	for _, base := range bases {
		t.Run(base, func(t *testing.T) {
			n := open(t, base, Options{})
			skipSlow(t, n, base)
			conforms(t, n)
		})
	}
}

// skipSlow leaves it at one base where there are no vector kernels: the portable
// set has the same bits and takes minutes.
func skipSlow(t *testing.T, n *Native, base string) {
	t.Helper()
	if n.Kernels() == "portable" && base != bases[0] {
		t.Skip("with portable kernels only on " + bases[0])
	}
}

func conforms(t *testing.T, n *Native) {
	o := testkit.GeneratorOptions{Exact: true, Codec: n, Adapters: []string{bound(t, n, 4, false), bound(t, n, 3, false)}}
	t.Run("generator", func(t *testing.T) { testkit.Generator(t, n, o) })
	t.Run("fields", func(t *testing.T) { testkit.GeneratorFields(t, n, o) })
	t.Run("calls", func(t *testing.T) { testkit.GeneratorCalls(t, n, o) })
	t.Run("scorer", func(t *testing.T) { testkit.Scorer(t, n, o) })
	t.Run("generator and scorer", func(t *testing.T) { testkit.GeneratorScorer(t, n, n, o) })
	t.Run("codec", func(t *testing.T) { testkit.Codec(t, n) })
}

func TestTrainer(t *testing.T) {
	for base, o := range map[string]Options{"llama-tied": {}, "qwen2": {Precision: "f32"}} {
		t.Run(base, func(t *testing.T) {
			n := open(t, base, o)
			skipSlow(t, n, base)
			testkit.Trainer(t, n, n)
		})
	}
}

// TestTrainedEqualsServed: the log-probabilities that training computes for its
// rows are those that serving gives the same completions, to the last bit.
func TestTrainedEqualsServed(t *testing.T) {
	n := open(t, "llama-tied", Options{})
	dir := bound(t, n, 4, false)
	rows := []dlm.Row{
		{Messages: []dlm.Message{{Role: "user", Content: "How?"}, {Role: "assistant", Content: "So."}}},
		{Messages: []dlm.Message{{Role: "system", Content: "Be brief."}, {Role: "user", Content: "Where is the blue van?"}, {Role: "assistant", Content: "In the lot: 漢字."}}},
	}
	for _, row := range rows {
		enc, err := n.Encode(row, 0)
		if err != nil {
			t.Fatal(err)
		}
		trained := trainLogProbs(t, n, dir, enc)
		scored, err := n.Score(context.Background(), []dlm.ScoreRequest{{
			Messages: row.Prompt(), Completion: row.Completion(), EndOfTurn: true, Adapter: dir,
		}})
		if err != nil {
			t.Fatal(err)
		}
		if len(scored[0].Tokens) != len(trained) {
			t.Fatalf("%d tokens served, %d trained", len(scored[0].Tokens), len(trained))
		}
		for i, tok := range scored[0].Tokens {
			if tok.LogProb != float64(trained[i]) {
				t.Errorf("token %d %q: served %v, trained %v", i, tok.Text, tok.LogProb, trained[i])
			}
		}
	}
}

func TestContextIsALimitNotACrash(t *testing.T) {
	n := open(t, "llama-tied", Options{})
	long := strings.Repeat("a very long prompt ", 200)
	ok := dlm.GenerateRequest{Messages: []dlm.Message{{Role: "user", Content: "hi"}}, Sampling: dlm.Sampling{MaxTokens: 1}}
	_, err := n.Generate(context.Background(), []dlm.GenerateRequest{ok, {Raw: long}}, nil)
	wants(t, err, "request 2", "512")
	_, err = n.Score(context.Background(), []dlm.ScoreRequest{{Raw: "a", Completion: long}})
	wants(t, err, "512")

	// Without max_tokens a completion ends at the context at the latest.
	out, err := n.Generate(context.Background(), []dlm.GenerateRequest{{Raw: strings.Repeat("a b ", 100), Sampling: dlm.Sampling{Temperature: 1}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := out[0].PromptTokens + len(out[0].Tokens); n > 512 || n < 512 && out[0].Finish != "stop" {
		t.Errorf("%d tokens, finish %q", n, out[0].Finish)
	}
}

func wants(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("expected an error that says %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}
