package infer

import (
	"context"
	"math"
	"slices"
	"testing"

	"dlm/engine/kernel"
)

// TestGoldens compares f32 mode with transformers: the log-probabilities of a
// completion, and the greedy tokens as far as their margins are clear.
func TestGoldens(t *testing.T) {
	for _, name := range []string{"llama-tied", "llama3-untied", "qwen2", "qwen3", "qwen3-untied"} {
		t.Run(name, func(t *testing.T) {
			g := readGolden(t, name)
			e := engine(t, tiny(t, name, kernel.F32, 1), Options{})
			ids := slices.Concat(g.PromptIDs, g.CompletionIDs)
			for _, route := range []Route{Whole, Cached} {
				got, err := e.Score(context.Background(), []ScoreRequest{{IDs: ids, From: len(g.PromptIDs), Route: route}})
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range g.LogProbs {
					if d := math.Abs(float64(got[0][i]) - want); d > 1e-4 {
						t.Errorf("route %d, token %d: log-probability %v, transformers %v", route, i, got[0][i], want)
					}
				}
			}
			out, err := e.Generate(context.Background(), []Request{{IDs: g.PromptIDs, MaxTokens: len(g.GreedyIDs)}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range g.GreedyIDs {
				if out[0].Tokens[i].ID == want {
					continue
				}
				if g.Margins[i] < 1e-3 {
					t.Logf("token %d differs where the margin is only %v", i, g.Margins[i])
					break
				}
				t.Fatalf("greedy token %d is %d, transformers %d (margin %v)", i, out[0].Tokens[i].ID, want, g.Margins[i])
			}
		})
	}
}
