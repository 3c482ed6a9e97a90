package native

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"dlm"
)

// realModel opens SmolLM2-135M-Instruct, or skips the test.
func realModel(t *testing.T, o Options) *Native {
	t.Helper()
	if testing.Short() {
		t.Skip("the real model takes half a minute")
	}
	path := os.Getenv("DLM_TEST_MODEL")
	if dir, err := os.UserCacheDir(); path == "" && err == nil {
		if found, _ := filepath.Glob(filepath.Join(dir, "dlm/models/smollm2-135m-instruct/*.gguf")); len(found) > 0 {
			path = found[0]
		}
	}
	if path == "" {
		t.Skip("the real model is not here: pull it with `dlm pull smollm2-135m-instruct`, or name a GGUF in DLM_TEST_MODEL")
	}
	n, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func TestRealModelConforms(t *testing.T) { conforms(t, realModel(t, Options{})) }

// TestRealModelAnswers compares whole answers, from text to text, with those of
// transformers on the dequantised weights.
func TestRealModelAnswers(t *testing.T) {
	raw, err := os.ReadFile("../../engine/testdata/goldens/logits.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Name       string    `json:"name"`
			Prompt     string    `json:"prompt"`
			Completion string    `json:"completion"`
			PromptIDs  []int32   `json:"prompt_ids"`
			GreedyIDs  []int32   `json:"greedy32_ids"`
			Margins    []float64 `json:"greedy32_margins_f64"`
		} `json:"cases"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	n := realModel(t, Options{Precision: "f32"})
	var reqs []dlm.GenerateRequest
	for _, c := range file.Cases {
		r := dlm.GenerateRequest{Raw: c.Prompt, Sampling: dlm.Sampling{MaxTokens: len(c.GreedyIDs)}}
		if c.Name == "chat" {
			r.Raw, r.Messages = "", []dlm.Message{{Role: "user", Content: "What is the capital of France?"}}
			r.Sampling.MaxTokens = 40
		}
		reqs = append(reqs, r)
	}
	out, err := n.Generate(context.Background(), reqs, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range file.Cases {
		if out[i].PromptTokens != len(c.PromptIDs) {
			t.Errorf("%s: the prompt has %d tokens, in transformers %d", c.Name, out[i].PromptTokens, len(c.PromptIDs))
		}
		var got []int32
		for _, tok := range out[i].Tokens {
			got = append(got, tok.ID)
		}
		clear := len(c.Margins)
		if at := slices.IndexFunc(c.Margins, func(m float64) bool { return m < 1e-3 }); at >= 0 {
			clear = at
		}
		if !slices.Equal(got[:min(clear, len(got))], c.GreedyIDs[:clear]) {
			t.Errorf("%s: %v, transformers %v", c.Name, got, c.GreedyIDs)
		}
		if c.Name == "chat" && (out[i].Text != "The capital of France is Paris." || out[i].Finish != "stop") {
			t.Errorf("%s: %q, finish %q", c.Name, out[i].Text, out[i].Finish)
		}
	}
}
