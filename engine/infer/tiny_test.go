package infer

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/lora"
	"dlm/engine/model"
	"dlm/engine/weights"
)

// checkpoints are the tiny bases that the tests run on: grouped queries and tied
// embeddings; rope scaling, heads of 64 and an untied head; biases; norms of heads.
var checkpoints = []string{"llama-tied", "llama3-untied", "qwen2", "qwen3", "llama-tied/q4_1.gguf"}

var modes = map[string]kernel.Mode{"bf16": kernel.BF16, "f32": kernel.F32}

// letters stands in for a tokenizer: every id is one letter or digit.
type letters struct{}

func (letters) Piece(id int32) []byte {
	i := int(id) % len(allLetters)
	return allLetters[i : i+1]
}

var allLetters = []byte("abcdefghijklmnopqrstuvwxyz0123456789")

func load(t testing.TB, path string, mode kernel.Mode, threads int) *model.Model {
	t.Helper()
	ck, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	x, err := kernel.New(threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	m, err := model.Load(ck, x, mode)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func tiny(t testing.TB, name string, mode kernel.Mode, threads int) *model.Model {
	t.Helper()
	return load(t, filepath.Join("../testdata/tiny", filepath.FromSlash(name)), mode, threads)
}

func engine(t testing.TB, m *model.Model, o Options) *Engine {
	t.Helper()
	e, err := New(m, letters{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// adapter is one whose B is not zero, so that it moves every logit.
func adapter(m *model.Model, rank int, seed uint64) *lora.Adapter {
	return filled(m, lora.Config{Rank: rank, Alpha: float64(2 * rank)}, seed)
}

// patterned is an adapter whose projections have several ranks and scales.
func patterned(m *model.Model) *lora.Adapter {
	return filled(m, lora.Config{Rank: 2, Alpha: 4, RankPattern: []lora.Pattern{{Match: "v_proj", Value: 4}, {Match: `layers\.1\..*_proj`, Value: 3}},
		AlphaPattern: []lora.Pattern{{Match: "down_proj", Value: 1}}}, 3)
}

func filled(m *model.Model, c lora.Config, seed uint64) *lora.Adapter {
	a := lora.New(m, c, seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for _, p := range a.Params() {
		if p.Transposed {
			for i := range p.Value {
				p.Value[i] = float32(r.NormFloat64() * 0.05)
			}
		}
	}
	a.Repack(m.Exec())
	return a
}

func randomIDs(seed uint64, n, vocab int) []int32 {
	r := rand.New(rand.NewPCG(seed, 2))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(r.IntN(vocab))
	}
	return ids
}

// realModel is the path of the 98 MB model, or the test is skipped.
func realModel(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("the real model takes half a minute")
	}
	if path := os.Getenv("DLM_TEST_MODEL"); path != "" {
		return path
	}
	if dir, err := os.UserCacheDir(); err == nil {
		if found, _ := filepath.Glob(filepath.Join(dir, "dlm/models/smollm2-135m-instruct/*.gguf")); len(found) > 0 {
			return found[0]
		}
	}
	t.Skip("the real model is not here: pull it with `dlm pull smollm2-135m-instruct`, or name a GGUF in DLM_TEST_MODEL")
	return ""
}

// golden is the part of golden.json that inference must meet.
type golden struct {
	PromptIDs     []int32   `json:"prompt_ids"`
	CompletionIDs []int32   `json:"completion_ids"`
	LogProbs      []float64 `json:"completion_logprobs_f64"`
	GreedyIDs     []int32   `json:"greedy_ids"`
	Margins       []float64 `json:"greedy_margins_f64"`
}

func readGolden(t *testing.T, name string) (g golden) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../testdata/tiny", name, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.PromptIDs) == 0 || len(g.GreedyIDs) == 0 || len(g.LogProbs) != len(g.CompletionIDs) {
		t.Fatal(fmt.Errorf("golden.json of %s lacks what this test needs", name))
	}
	return g
}
