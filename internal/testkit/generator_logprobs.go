package testkit

import (
	"math"
	"slices"
	"strings"
	"testing"

	"dlm"
)

// generateTop: alternatives are in order, no likelier than certain together, and
// agree with the token that was chosen.
func generateTop(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	const k = 5
	for i, p := range prompts {
		r := ask(p, dlm.Sampling{MaxTokens: 10, Temperature: 0.7 * float64(i%2), Seed: 3})
		r.TopLogProbs = k
		if !o.can(t, g, "top_logprobs", r) {
			return
		}
		c := generate(t, g, r)[0]
		if len(c.Tokens) == 0 {
			t.Fatalf("%q: no tokens", p)
		}
		spelt := ""
		for j, tok := range c.Tokens {
			if !o.checkTop(t, tok, k, i%2 == 0) {
				return
			}
			if j < len(c.Tokens)-1 || c.Finish == "length" {
				spelt += string(tok.Bytes)
			}
		}
		if text := strings.ToValidUTF8(c.Text, ""); !strings.HasPrefix(strings.ToValidUTF8(strings.ReplaceAll(spelt, "\uFFFD", ""), ""), strings.ReplaceAll(text, "\uFFFD", "")) {
			t.Errorf("%q: the tokens' bytes spell %q, the text is %q", p, spelt, c.Text)
		}
		plain := r
		plain.TopLogProbs = 0
		o.same(t, r, generate(t, g, plain)[0], c)
	}
}

func (o GeneratorOptions) checkTop(t *testing.T, tok dlm.Token, k int, greedy bool) bool {
	t.Helper()
	if len(tok.Top) > k || len(tok.Top) < k && (tok.ID >= 0 || len(tok.Top) == 0) { // without ids some look alike
		t.Errorf("token %+v has %d alternatives, expected %d", tok, len(tok.Top), k)
		return false
	}
	sum := 0.0
	for j, a := range tok.Top {
		sum += math.Exp(a.LogProb)
		if j > 0 && a.LogProb > tok.Top[j-1].LogProb {
			t.Errorf("alternatives are not in order: %+v", tok.Top)
		}
		if same := a.ID == tok.ID && (a.ID >= 0 || string(a.Bytes) == string(tok.Bytes)); same && o.far(a.LogProb, tok.LogProb) {
			t.Errorf("token %+v is among its alternatives with %v", tok, a.LogProb)
		}
		if a.LogProb > 0 || math.IsNaN(a.LogProb) {
			t.Errorf("alternative %+v", a)
		}
	}
	if sum > 1.001 {
		t.Errorf("alternatives of token %+v have together probability %v", tok, sum)
	}
	if greedy && tok.LogProb < tok.Top[0].LogProb-1e-3 && o.far(tok.LogProb, tok.Top[0].LogProb) {
		t.Errorf("greedy chose %+v, and %+v is likelier", tok, tok.Top[0])
	}
	return true
}

// generatePrompt asks for a prompt's own log-probabilities.
func generatePrompt(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	r := dlm.GenerateRequest{Raw: "Once upon a time there was", Sampling: dlm.Sampling{MaxTokens: 2}, PromptLogProbs: true}
	if !o.can(t, g, "prompt_logprobs", r) {
		return
	}
	for _, only := range []bool{false, true} {
		r.PromptOnly = only
		c := generate(t, g, r)[0]
		if only && len(c.Tokens) != 0 {
			t.Errorf("the prompt alone was asked for, and %d tokens came", len(c.Tokens))
		}
		if len(c.Prompt) != c.PromptTokens || c.PromptTokens == 0 {
			t.Fatalf("%d tokens of a prompt of %d", len(c.Prompt), c.PromptTokens)
		}
		spelt := ""
		for i, tok := range c.Prompt {
			spelt += string(tok.Bytes)
			if tok.LogProb > 0 || math.IsNaN(tok.LogProb) || (i == 0) != (tok.LogProb == 0) {
				t.Errorf("token %d of the prompt: %+v", i, tok)
			}
		}
		if !strings.HasSuffix(spelt, r.Raw) { // a base may begin with a token of its own
			t.Errorf("the prompt's tokens spell %q, expected %q", spelt, r.Raw)
		}
	}
	r.PromptOnly, r.TopLogProbs = false, 3
	for _, tok := range generate(t, g, r)[0].Prompt[1:] {
		o.checkTop(t, tok, 3, false)
	}
}

// generateIDs: a prompt's ids are the prompt.
func generateIDs(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	for _, p := range prompts {
		r := ask(p, dlm.Sampling{MaxTokens: 8})
		ids := []int32{1, 2, 3}
		if o.Codec != nil {
			var err error
			if ids, err = o.Codec.Prompt(r.Messages, ""); err != nil {
				t.Fatal(err)
			}
		}
		byIDs := dlm.GenerateRequest{IDs: ids, Sampling: r.Sampling}
		if !o.can(t, g, "prompt", byIDs) || o.Codec == nil {
			return
		}
		a, b := generate(t, g, r)[0], generate(t, g, byIDs)[0]
		o.same(t, r, a, b)
		if a.PromptTokens != b.PromptTokens || b.PromptTokens != len(ids) {
			t.Errorf("%q: %d tokens as messages, %d as ids, and there are %d", p, a.PromptTokens, b.PromptTokens, len(ids))
		}
	}
}

// promptScores checks that the log-probabilities of a prompt are the scorer's.
func promptScores(t *testing.T, g dlm.Generator, s dlm.Scorer, o GeneratorOptions) {
	if o.Codec == nil || slices.Contains(o.Refuses, "prompt_logprobs") {
		return
	}
	for _, r := range scoreRequests(o) {
		ids, from, err := o.Codec.Completed(r.Messages, r.Raw, r.Completion, false)
		if err != nil {
			t.Fatal(err)
		}
		c := generate(t, g, dlm.GenerateRequest{IDs: ids, Adapter: r.Adapter, PromptLogProbs: true, PromptOnly: true})[0]
		scored := score(t, s, r)[0]
		for i, tok := range c.Prompt[from:] {
			if tok.ID != scored.Tokens[i].ID || o.far(tok.LogProb, scored.Tokens[i].LogProb) {
				t.Errorf("adapter %q, token %d: %+v as a prompt, scored %+v", r.Adapter, i, tok, scored.Tokens[i])
			}
		}
	}
}
