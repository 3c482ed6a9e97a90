package peers

import (
	"context"
	"testing"

	"dlm/driver/llamacpp"
	"dlm/driver/openai"
	"dlm/internal/testkit"
)

// beyond are fields that OpenAI's API does not have.
var beyond = []string{"top_k", "min_p", "repetition_penalty", "min_tokens", "ignore_eos", "stop_token_ids", "guided_regex", "guided_choice"}

// TestLlamaCpp: a real llama-server with two adapters, each request naming one.
func TestLlamaCpp(t *testing.T) {
	server := need(t, "DLM_LLAMA_SERVER", "llama.cpp's llama-server")
	n := base(t)
	e, err := llamacpp.Open(context.Background(), llamacpp.Options{
		Server: server, Model: need(t, "DLM_TEST_MODEL", "a GGUF of SmolLM2-135M-Instruct"), LoRAs: loras(t, n, "one", "two"), Codec: n, Context: 1024,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	o := testkit.GeneratorOptions{
		Codec: n, Adapters: []string{"one", "two"}, Tolerance: 0.05,
		Refuses: []string{"presence_penalty", "frequency_penalty", "min_tokens", "ignore_eos", "prompt_logprobs", "guided_regex"},
	}
	t.Run("its own API", func(t *testing.T) {
		conforms(t, e, o)
		// A prefix that is in the cache was computed in chunks of another size, and
		// llama.cpp multiplies by 8-bit activations: up to 0.7 nats were seen.
		o := o
		o.Tolerance = 1
		t.Run("scorer", func(t *testing.T) { testkit.Scorer(t, e, o) })
		t.Run("generator and scorer", func(t *testing.T) { testkit.GeneratorScorer(t, e, e, o) })
	})
	t.Run("OpenAI's API", func(t *testing.T) {
		g, err := openai.New(openai.Options{URL: e.URL(), Refuses: openai.Ignored("llamacpp")})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		conforms(t, g, testkit.GeneratorOptions{Tolerance: 0.05, Refuses: append(openai.Ignored("llamacpp"), beyond...), Codec: n})
	})
}
