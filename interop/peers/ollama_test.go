package peers

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"dlm/driver/ollama"
	"dlm/driver/openai"
	"dlm/internal/testkit"
)

// TestOllama: a real Ollama with a model made from the base's file.
func TestOllama(t *testing.T) {
	binary := need(t, "DLM_OLLAMA", "the program ollama")
	n := base(t)
	dir := t.TempDir()
	model, err := filepath.Abs(need(t, "DLM_TEST_MODEL", "a GGUF of SmolLM2-135M-Instruct"))
	if err == nil {
		err = os.Symlink(model, filepath.Join(dir, "base.gguf"))
	}
	if err != nil {
		t.Fatal(err)
	}
	m := ollama.Modelfile{From: "base.gguf", Context: 1024}
	if m.Template, err = ollama.Template(n, n.AddedBOS()); err != nil {
		t.Fatal(err)
	}
	for _, id := range n.StopIDs() {
		m.Stop = append(m.Stop, n.Piece(id))
	}
	text, err := m.Text()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "Modelfile"), []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	e, err := ollama.Open(context.Background(), ollama.Options{Binary: binary, Modelfile: filepath.Join(dir, "Modelfile"), Codec: n, Context: 1024, Parallel: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	o := testkit.GeneratorOptions{Codec: n, Silent: true, Refuses: []string{"prompt", "presence_penalty", "frequency_penalty", "logit_bias", "min_tokens",
		"ignore_eos", "stop_token_ids", "top_logprobs", "prompt_logprobs", "guided_regex", "guided_choice"}}
	t.Run("its own API", func(t *testing.T) { conforms(t, e, o) })
	t.Run("embeddings", func(t *testing.T) {
		out, err := e.Embed(context.Background(), []string{"I lost my card", "My card is lost", "The weather is fine in June"})
		if err != nil {
			t.Fatal(err)
		}
		dot := func(i, j int) (sum float64) {
			for k := range out[i].Vector {
				sum += float64(out[i].Vector[k]) * float64(out[j].Vector[k])
			}
			return sum
		}
		if !(dot(0, 1) > dot(0, 2)) || dot(0, 0) < 0.999 || dot(0, 0) > 1.001 || out[0].Tokens == 0 {
			t.Errorf("likeness of two that mean the same %.3f, of others %.3f; with itself %.3f; %d tokens", dot(0, 1), dot(0, 2), dot(0, 0), out[0].Tokens)
		}
	})
	t.Run("OpenAI's API", func(t *testing.T) {
		g, err := openai.New(openai.Options{URL: e.URL(), NoLogProbs: true, Refuses: openai.Ignored("ollama"), Model: e.Name() + ":latest"})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		conforms(t, g, testkit.GeneratorOptions{Codec: n, Silent: true, Refuses: append(append([]string{"top_logprobs", "prompt_logprobs"}, openai.Ignored("ollama")...), beyond...)})
	})
}
