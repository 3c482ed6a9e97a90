package testkit

import (
	"slices"
	"testing"

	"dlm"
)

// generateSequences: completions of one prompt and seed are told apart by their
// sequence, and each is the same again.
func generateSequences(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	texts := map[string]bool{}
	for seq := range uint64(6) {
		r := ask(prompts[1], dlm.Sampling{MaxTokens: 12, Temperature: 1, Seed: 5, Sequence: seq})
		out := generate(t, g, r, r)
		o.same(t, r, out[0], out[1])
		texts[out[0].Text] = true
	}
	if len(texts) < 2 {
		t.Error("six sequences of one seed at temperature 1 all gave the same text")
	}
}

// distinct returns the ids of an answer's tokens that are no end of a turn, each
// once; where the generator tells none, those that its text is made of.
func (o GeneratorOptions) distinct(c dlm.Completion) (ids []int32) {
	tokens := c.Tokens
	if o.Codec != nil && len(tokens) > 0 && tokens[0].ID < 0 {
		tokens = o.Codec.Tokenize(c.Text, false)
	}
	for _, tok := range tokens {
		if tok.ID >= 0 && tok.Text != "" && !slices.Contains(ids, tok.ID) {
			ids = append(ids, tok.ID)
		}
	}
	return ids
}

// is says whether a token is the one of this id, by its text where it has no id.
func (o GeneratorOptions) is(tok dlm.Token, id int32) bool {
	if tok.ID < 0 && o.Codec != nil {
		return tok.Text == o.Codec.Piece(id)
	}
	return tok.ID == id
}

// words are the ids of two tokens that the base writes of itself.
func (o GeneratorOptions) words(t *testing.T, g dlm.Generator) []int32 {
	t.Helper()
	var ids []int32
	for _, p := range prompts {
		ids = append(ids, o.distinct(generate(t, g, ask(p, dlm.Sampling{MaxTokens: 12}))[0])...)
	}
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) < 2 {
		if !o.Silent {
			t.Fatal("all answers are of one token")
		}
		return []int32{7, 8}
	}
	return []int32{ids[0], ids[len(ids)-1]}
}

func generateBias(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	words := o.words(t, g)
	r := ask(prompts[0], dlm.Sampling{MaxTokens: 6, LogitBias: map[int32]float64{words[0]: 100}})
	if !o.can(t, g, "logit_bias", r) {
		return
	}
	for _, temperature := range []float64{0, 1} {
		r.Sampling.Temperature = temperature
		c := generate(t, g, r)[0]
		for _, tok := range c.Tokens {
			if !o.is(tok, words[0]) {
				t.Errorf("temperature %v: a bias of 100 for token %d, and token %d was chosen", temperature, words[0], tok.ID)
			}
		}
	}
	free := ask(prompts[0], dlm.Sampling{MaxTokens: 6})
	first := o.distinct(generate(t, g, free)[0])[0]
	free.Sampling.LogitBias = map[int32]float64{first: -100}
	for _, tok := range generate(t, g, free)[0].Tokens {
		if o.is(tok, first) {
			t.Errorf("a bias of -100 for token %d, and it was chosen", first)
		}
	}
}

// generatePenalties leaves an answer two tokens to choose from: with a penalty
// both must come, and the first is as without, for the completion is empty then.
func generatePenalties(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	words := []int32{7, 8}
	if !o.Silent {
		words = o.words(t, g)
	}
	for field, s := range map[string]dlm.Sampling{"presence_penalty": {PresencePenalty: 2}, "frequency_penalty": {FrequencyPenalty: 2}} {
		s.MaxTokens = 32
		if !o.can(t, g, field, ask(prompts[0], s)) || slices.Contains(o.Refuses, "logit_bias") {
			continue
		}
		s.LogitBias = map[int32]float64{words[0]: 100, words[1]: 100}
		with := generate(t, g, ask(prompts[0], s))[0]
		s.PresencePenalty, s.FrequencyPenalty = 0, 0
		without := generate(t, g, ask(prompts[0], s))[0]
		if o.Exact && with.Tokens[0].Text != without.Tokens[0].Text {
			t.Errorf("%s: the first token is %q, without the penalty %q: it counts tokens before the completion", field, with.Tokens[0].Text, without.Tokens[0].Text)
		}
		counts := func(c dlm.Completion) (n [2]int) {
			for _, tok := range c.Tokens {
				for j, id := range words {
					if o.is(tok, id) {
						n[j]++
					}
				}
			}
			return n
		}
		a, b := counts(with), counts(without)
		if a[0]+a[1] != len(with.Tokens) || field == "frequency_penalty" && min(a[0], a[1]) < min(b[0], b[1], 1) || field == "frequency_penalty" && min(a[0], a[1]) == 0 {
			t.Errorf("%s: of the two tokens %v came, without it %v", field, a, b)
		}
	}
	if r := ask(prompts[0], dlm.Sampling{MaxTokens: 4, RepetitionPenalty: 1.3}); o.can(t, g, "repetition_penalty", r) {
		generate(t, g, r)
	}
	if r := ask(prompts[0], dlm.Sampling{MaxTokens: 4, TopK: 3, Temperature: 1}); o.can(t, g, "top_k", r) {
		generate(t, g, r)
	}
	if r := ask(prompts[0], dlm.Sampling{MaxTokens: 4, MinP: 0.1, Temperature: 1}); o.can(t, g, "min_p", r) {
		generate(t, g, r)
	}
}

// generateStopIDs: a token that was asked to end the completion does, unless it
// is too early.
func generateStopIDs(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	free := ask(prompts[1], dlm.Sampling{MaxTokens: 8})
	whole := generate(t, g, free)[0]
	if r := ask(prompts[1], dlm.Sampling{MaxTokens: 8, StopIDs: []int32{5}}); !o.can(t, g, "stop_token_ids", r) {
		return
	}
	ids := o.distinct(whole)
	stop := ids[min(1, len(ids)-1)]
	at := slices.IndexFunc(whole.Tokens, func(tok dlm.Token) bool { return o.is(tok, stop) })
	r := free
	r.Sampling.StopIDs = []int32{stop}
	c := generate(t, g, r)[0]
	text := ""
	for _, tok := range whole.Tokens[:at] {
		text += tok.Text
	}
	if len(c.Tokens) != at+1 || c.Finish != "stop" || c.Tokens[at].ID >= 0 && c.Tokens[at].ID != stop {
		t.Errorf("stop token %d at %d: %d tokens, finish %q: %q", stop, at, len(c.Tokens), c.Finish, c.Text)
	}
	if len(c.Text) < len(text) || c.Text[:len(text)] != text {
		t.Errorf("stop token %d at %d: text %q, expected %q", stop, at, c.Text, text)
	}
	r.Sampling.MinTokens = at + 3
	if !o.can(t, g, "min_tokens", r) {
		return
	}
	c = generate(t, g, r)[0]
	if len(c.Tokens) < min(at+3, 8) {
		t.Errorf("min_tokens %d: %d tokens", at+3, len(c.Tokens))
	}
}

// generateEnds forces the token that ends a turn.
func generateEnds(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	ignore := ask(prompts[0], dlm.Sampling{MaxTokens: 5, IgnoreEOS: true})
	least := ask(prompts[0], dlm.Sampling{MaxTokens: 5, MinTokens: 3})
	can := o.can(t, g, "ignore_eos", ignore)
	canLeast := o.can(t, g, "min_tokens", least)
	if o.Codec == nil || slices.Contains(o.Refuses, "logit_bias") {
		return
	}
	end := o.Codec.StopIDs()[0]
	r := ask(prompts[0], dlm.Sampling{MaxTokens: 5, LogitBias: map[int32]float64{end: 100}})
	if c := generate(t, g, r)[0]; len(c.Tokens) > 1 || c.Finish != "stop" || c.Text != "" {
		t.Errorf("the end of the turn was certain: %+v", c)
	}
	if can {
		r.Sampling.IgnoreEOS = true
		if c := generate(t, g, r)[0]; len(c.Tokens) != 5 || c.Finish != "length" {
			t.Errorf("ends of the turn are to be ignored: %+v", c)
		}
		r.Sampling.IgnoreEOS = false
	}
	if canLeast {
		r.Sampling.MinTokens = 3
		c := generate(t, g, r)[0]
		if len(c.Tokens) < 3 || len(c.Tokens) > 4 || c.Finish != "stop" {
			t.Errorf("three tokens before the end of the turn: %+v", c)
		}
	}
}
