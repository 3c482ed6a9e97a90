package infer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/sample"
)

// words is a grammar for tests: the completion is one of some sequences of ids,
// after which end comes.
type words struct {
	of  [][]int32
	end int32
	at  []int32 // taken so far
}

func (w *words) next() (ids []int32) {
	for _, o := range w.of {
		switch {
		case len(o) < len(w.at) || !slices.Equal(o[:len(w.at)], w.at):
		case len(o) == len(w.at):
			ids = append(ids, w.end)
		default:
			ids = append(ids, o[len(w.at)])
		}
	}
	return ids
}

func (w *words) Mask(allowed []uint64) {
	clear(allowed)
	for _, id := range w.next() {
		allowed[id/64] |= 1 << (id % 64)
	}
}

func (w *words) Advance(id int32) bool {
	if !slices.Contains(w.next(), id) {
		return false
	}
	w.at = append(w.at, id)
	return true
}

func (w *words) Forced(dst []int32) []int32 {
	start := len(w.at)
	for {
		next := w.next()
		if len(next) == 0 || slices.ContainsFunc(next, func(id int32) bool { return id != next[0] }) {
			w.at = w.at[:start]
			return dst
		}
		dst, w.at = append(dst, next[0]), append(w.at, next[0])
	}
}

func (w *words) Mark() int      { return len(w.at) }
func (w *words) Reset(mark int) { w.at = w.at[:mark] }

func (w *words) Expected() string { return fmt.Sprint(w.next()) }

// TestGrammarIsKept: greedy takes the likeliest of the allowed tokens, sampling one
// of them, and the log-probabilities are those of the unmasked distribution.
func TestGrammarIsKept(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 2)
	e := engine(t, m, Options{MaxTokens: 64})
	of := [][]int32{{9, 8, 7, 6}, {9, 8, 30}, {50, 51}}
	for _, temperature := range []float64{0, 1.5} {
		seen := map[string]bool{}
		for seed := range uint64(20) {
			r := Request{IDs: randomIDs(1, 9, m.Config().Vocab), StopIDs: []int32{2}, Grammar: &words{of: of, end: 2},
				Sampling: sample.Params{Temperature: temperature, Seed: seed}}
			out := generate(t, e, r)[0]
			got := ids(out)
			if n := len(got); out.Finish != Stopped || got[n-1] != 2 || !slices.ContainsFunc(of, func(o []int32) bool { return slices.Equal(o, got[:n-1]) }) {
				t.Fatalf("the completion is %v (%s), expected one of %v and 2", got, out.Finish, of)
			}
			seen[fmt.Sprint(got)] = true
			for i, logp := range score(t, e, ScoreRequest{IDs: slices.Concat(r.IDs, got), From: len(r.IDs)})[0] {
				if out.Tokens[i].LogProb != logp {
					t.Errorf("token %d has log-probability %v, scored %v", i, out.Tokens[i].LogProb, logp)
				}
			}
		}
		if want := 1; temperature == 0 && len(seen) != want || temperature > 0 && len(seen) < 2 {
			t.Errorf("temperature %v: %d different completions", temperature, len(seen))
		}
	}
}

func TestDeadEnd(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	e := engine(t, m, Options{MaxTokens: 64})
	g := &words{of: [][]int32{{9, 8}}, end: 2}
	_, err := e.Generate(context.Background(), []Request{{IDs: []int32{1, 5}, StopIDs: []int32{2}, Grammar: g, MinTokens: 5, MaxTokens: 9}}, nil)
	if err == nil || !strings.Contains(err.Error(), "min_tokens") {
		t.Errorf("a format of two tokens and min_tokens 5: %v", err)
	}
	_, err = e.Generate(context.Background(), []Request{{IDs: []int32{1, 5}, Grammar: &words{of: [][]int32{}, end: 2}, MaxTokens: 9}}, nil)
	if err == nil || !strings.Contains(err.Error(), "expects []") {
		t.Errorf("a format that allows nothing: %v", err)
	}
}

// TestMinTokens: no stop token comes before its time, and then one may.
func TestMinTokens(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	e := engine(t, m, Options{MaxTokens: 64})
	free := generate(t, e, Request{IDs: []int32{1, 5, 9}, MaxTokens: 12})[0]
	stop := free.Tokens[2].ID
	r := Request{IDs: []int32{1, 5, 9}, StopIDs: []int32{stop}, MaxTokens: 12}
	if out := generate(t, e, r)[0]; len(out.Tokens) != 1+slices.Index(ids(free), stop) {
		t.Fatalf("the stop token comes after %d tokens", len(out.Tokens))
	}
	r.MinTokens = 8
	out := generate(t, e, r)[0]
	if i := slices.Index(ids(out), stop); i >= 0 && i < 8 {
		t.Errorf("the stop token came as token %d, min_tokens is 8", i)
	}
	r.Sampling.Bias = []sample.Bias{{ID: stop, Value: 1000}}
	if out := generate(t, e, r)[0]; len(out.Tokens) != 9 || out.Finish != Stopped {
		t.Errorf("forced to stop, the completion has %d tokens (%s), expected 8 and the stop", len(out.Tokens), out.Finish)
	}
}

// TestPenaltiesCountTheCompletion: presence and frequency are those of the
// completion's own tokens, guessed ones too; the prompt's count for repetition alone.
func TestPenaltiesCountTheCompletion(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	e := engine(t, m, Options{MaxTokens: 64})
	prompt := []int32{5, 9, 5, 9, 5, 9}
	bias := []sample.Bias{{ID: 5, Value: 500}, {ID: 9, Value: 490}}
	for _, c := range []struct {
		p    sample.Params
		want []int32
	}{
		{sample.Params{}, []int32{5, 5, 5, 5, 5, 5, 5, 5}},
		{sample.Params{PresencePenalty: 200}, []int32{5, 9, 5, 5, 5, 5, 5, 5}},
		{sample.Params{FrequencyPenalty: 100}, []int32{5, 9, 5, 9, 5, 9, 5, 9}},
	} {
		c.p.Bias = bias
		for _, draft := range []int{0, 7} {
			out := generate(t, e, Request{IDs: prompt, MaxTokens: 8, Sampling: c.p, Draft: draft})[0]
			if got := ids(out); !slices.Equal(got, c.want) {
				t.Errorf("%+v with %d guesses: %v, expected %v", c.p, draft, got, c.want)
			}
		}
	}
}

// TestTopLogProbs: the alternatives to a token are the likeliest ones, with the
// log-probabilities that scoring gives them, and asking changes nothing else.
func TestTopLogProbs(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 2)
	e := engine(t, m, Options{MaxTokens: 64})
	r := Request{IDs: randomIDs(3, 20, m.Config().Vocab), MaxTokens: 8, Sampling: sample.Params{Temperature: 2, Seed: 3}}
	plain := generate(t, e, r)[0]
	r.TopLogProbs = 5
	r.PromptLogProbs = true
	out := generate(t, e, r)[0]
	if !slices.Equal(ids(plain), ids(out)) {
		t.Fatalf("asking for alternatives changed the completion: %v, without %v", ids(out), ids(plain))
	}
	known := slices.Clone(r.IDs)
	for i, tok := range out.Tokens {
		checkTop(t, e, known, tok, 5)
		if tok.LogProb != plain.Tokens[i].LogProb {
			t.Errorf("token %d has log-probability %v, without alternatives %v", i, tok.LogProb, plain.Tokens[i].LogProb)
		}
		known = append(known, tok.ID)
	}
	if len(out.Prompt) != 20 || out.Prompt[0].LogProb != 0 || out.Prompt[0].Top != nil {
		t.Fatalf("the prompt's report has %d tokens and begins with %+v", len(out.Prompt), out.Prompt[0])
	}
	for i, tok := range out.Prompt[1:] {
		if tok.ID != r.IDs[i+1] {
			t.Fatalf("token %d of the prompt is %d, reported as %d", i+1, r.IDs[i+1], tok.ID)
		}
		checkTop(t, e, r.IDs[:i+1], tok, 5)
	}
}

// checkTop compares a token's report with scores of its alternatives one by one.
func checkTop(t *testing.T, e *Engine, known []int32, tok Token, k int) {
	t.Helper()
	if len(tok.Top) != k || string(tok.Bytes) != string(letters{}.Piece(tok.ID)) {
		t.Fatalf("token %+v: expected %d alternatives", tok, k)
	}
	last := float32(0)
	for i, a := range append([]Alternative{{ID: tok.ID, LogProb: tok.LogProb}}, tok.Top...) {
		got := score(t, e, ScoreRequest{IDs: append(slices.Clone(known), a.ID), From: len(known)})[0][0]
		if got != a.LogProb {
			t.Errorf("after %d tokens, token %d has log-probability %v, scored %v", len(known), a.ID, a.LogProb, got)
		}
		if i > 0 && a.LogProb > last || i == 1 && a.LogProb < tok.LogProb {
			t.Errorf("after %d tokens the alternatives are not the likeliest ones in order: %+v beside %v", len(known), tok.Top, tok.LogProb)
		}
		if i > 0 {
			last = a.LogProb
		} else {
			last = float32(math.Inf(1))
		}
	}
}

// TestPromptOnly: a report alone has the bits of a report with a completion, whole,
// in chunks, and when the sequence has to start over.
func TestPromptOnly(t *testing.T) {
	for _, name := range []string{"llama-tied", "llama-tied/q4_1.gguf"} {
		m := tiny(t, name, kernel.BF16, 2)
		roomy := engine(t, m, Options{MaxTokens: 256})
		a := adapter(m, 3, 5)
		var with, alone []Request
		for i, n := range []int{200, 1, 2, 64, 65, 130, 150, 180} {
			r := Request{IDs: randomIDs(uint64(i/2), n, m.Config().Vocab), MaxTokens: 5, PromptLogProbs: true, TopLogProbs: i % 3}
			if i%2 == 1 {
				r.Adapter = a
			}
			with = append(with, r)
			r.PromptOnly, r.MaxTokens = true, 0
			alone = append(alone, r)
		}
		want := generate(t, roomy, with...)
		tight := small(t, m, 31)
		for how, got := range map[string][]Result{
			"whole": generate(t, roomy, alone...), "in chunks": generate(t, engine(t, m, Options{MaxTokens: 48}), alone...),
			"with little room": generate(t, tight, with...), "alone, with little room": generate(t, tight, alone...),
		} {
			for i := range want {
				if fmt.Sprint(got[i].Prompt) != fmt.Sprint(want[i].Prompt) {
					t.Errorf("%s, prompt of %d tokens: reports differ", how, len(with[i].IDs))
				}
				if strings.Contains(how, "alone") && (len(got[i].Tokens) != 0 || got[i].Finish != Length) {
					t.Errorf("%s: %d tokens (%s) were generated", how, len(got[i].Tokens), got[i].Finish)
				}
			}
		}
	}
}

func TestChoiceIsRefused(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	e := engine(t, m, Options{MaxTokens: 64})
	for field, r := range map[string]Request{
		"logit_bias":   {Sampling: sample.Params{Bias: []sample.Bias{{ID: int32(m.Config().Vocab)}}}},
		"min_tokens":   {MinTokens: 5, MaxTokens: 4},
		"alternatives": {TopLogProbs: m.Config().Vocab + 1},
		"guessed":      {Draft: -1},
		"nothing":      {PromptOnly: true},
	} {
		r.IDs = []int32{1, 2}
		if _, err := e.Add(r, nil); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	r := Request{IDs: []int32{1, 2}, Grammar: &refuses{}}
	if _, err := e.Generate(context.Background(), []Request{r}, nil); err == nil || errors.Is(err, sample.ErrNoneAllowed) {
		t.Errorf("a grammar that refuses what it allows: %v", err)
	}
}

// refuses is a grammar that is broken: it takes nothing of what it allows.
type refuses struct{ words }

func (*refuses) Mask(allowed []uint64)      { allowed[0] = 2 }
func (*refuses) Advance(int32) bool         { return false }
func (*refuses) Forced(dst []int32) []int32 { return dst }
