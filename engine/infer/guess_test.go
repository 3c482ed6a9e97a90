package infer

import (
	"fmt"
	"slices"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/sample"
	"pgregory.net/rapid"
)

// loops is a prompt that repeats itself, so that lookup finds something.
func loops(seed uint64, n, vocab int) []int32 {
	part := randomIDs(seed, 3+int(seed%7), vocab)
	var ids []int32
	for len(ids) < n {
		ids = append(ids, part...)
	}
	return ids[:n]
}

// answer is what of a result guesses must not change: all of it, but for what the cache held.
func answer(r Result) string {
	r.Cached = 0
	return fmt.Sprint(r)
}

// TestGuessesChangeNothing draws requests of all kinds and compares their answers
// with and without guesses, alone without and together with them, with room and
// with a cache so small that sequences start over: tokens, texts, ends, and every
// log-probability to the last bit. A failure prints the draws.
func TestGuessesChangeNothing(t *testing.T) {
	m := tiny(t, "llama-tied/q4_1.gguf", kernel.BF16, 2)
	skipSlow(t, m, "llama-tied/q4_1.gguf")
	one, other := adapter(m, 4, 1), adapter(m, 3, 2)
	plain := engine(t, m, Options{MaxTokens: 96})
	roomy := engine(t, m, Options{MaxTokens: 96})
	tight := small(t, m, 13)
	vocab := m.Config().Vocab
	rapid.Check(t, func(t *rapid.T) {
		var reqs, again []Request
		for i := range rapid.IntRange(1, 5).Draw(t, "requests") {
			seed := rapid.Uint64Range(0, 50).Draw(t, "seed")
			r := Request{IDs: loops(seed, rapid.IntRange(1, 80).Draw(t, "prompt"), vocab), MaxTokens: rapid.IntRange(1, 90).Draw(t, "max")}
			switch rapid.IntRange(0, 2).Draw(t, "adapter") {
			case 1:
				r.Adapter, r.Key = one, "one"
			case 2:
				r.Adapter = other
			}
			if rapid.Bool().Draw(t, "sampled") {
				r.Sampling = sample.Params{Temperature: rapid.Float64Range(0.1, 1).Draw(t, "temperature"), TopK: rapid.IntRange(0, 3).Draw(t, "k"), Seed: seed, Sequence: uint64(i)}
			}
			if rapid.Bool().Draw(t, "penalised") {
				r.Sampling.FrequencyPenalty, r.Sampling.PresencePenalty = rapid.Float64Range(-1, 1).Draw(t, "frequency"), 0.1
				r.Sampling.RepetitionPenalty = rapid.Float64Range(0.8, 1.2).Draw(t, "repetition")
			}
			r.TopLogProbs = rapid.IntRange(0, 2).Draw(t, "top")
			r.PromptLogProbs = rapid.Bool().Draw(t, "report")
			if rapid.Bool().Draw(t, "stops") {
				// Letters of tokens that the loop is made of, so that a stop stands inside a guess.
				r.StopStrings = []string{string(letters{}.Piece(r.IDs[0])) + string(letters{}.Piece(r.IDs[len(r.IDs)/2]))}
				r.StopIDs = []int32{r.IDs[len(r.IDs)-1], 7}
				r.MinTokens = rapid.IntRange(0, r.MaxTokens).Draw(t, "min")
			}
			with := r
			with.Draft = rapid.IntRange(1, 12).Draw(t, "draft")
			if rapid.IntRange(0, 2).Draw(t, "grammar") == 0 {
				r.MinTokens, with.MinTokens = 0, 0
				r.StopIDs, with.StopIDs = []int32{2}, []int32{2}
				r.Grammar, with.Grammar = forms(seed, vocab), forms(seed, vocab)
			}
			reqs, again = append(reqs, r), append(again, with)
		}
		var want []string
		for _, r := range reqs {
			want = append(want, answer(run(t, plain, r)[0]))
		}
		for how, e := range map[string]*Engine{"roomy": roomy, "tight": tight} {
			for _, r := range again {
				if r.Grammar != nil {
					r.Grammar.Reset(0)
				}
			}
			for i, r := range run(t, e, again...) {
				if got := answer(r); got != want[i] {
					t.Fatalf("%s, request %d with guesses:\n%s\nwithout, alone:\n%s", how, i, got, want[i])
				}
			}
		}
	})
	var many []Request
	for i := range uint64(5) {
		many = append(many, Request{IDs: loops(i, 60, vocab), MaxTokens: 100, Draft: 8})
	}
	for i, r := range generate(t, tight, many...) {
		many[i].Draft = 0
		if answer(r) != answer(generate(t, plain, many[i])[0]) {
			t.Errorf("request %d of many: guesses changed the answer", i)
		}
	}
	for how, e := range map[string]*Engine{"roomy": roomy, "tight": tight} {
		if s := e.Stats(); s.Accepted < 100 || s.Accepted >= s.Drafted {
			t.Errorf("%s: %d guesses, %d right: expected some hundred right ones, and wrong ones", how, s.Drafted, s.Accepted)
		}
	}
	if tight.Stats().Preempted == 0 {
		t.Error("the small cache forced no sequence to start over, so that was not tested")
	}
	if s := plain.Stats(); s.Drafted != 0 {
		t.Errorf("%d guesses of requests that allow none", s.Drafted)
	}
}

// TestMinTokensInsideGuesses: a stop token that a guess holds comes neither earlier
// nor later than without guesses.
func TestMinTokensInsideGuesses(t *testing.T) {
	m := tiny(t, "llama-tied/q4_1.gguf", kernel.BF16, 1)
	e := engine(t, m, Options{MaxTokens: 64})
	accepted := uint64(0)
	for least := range 24 {
		// The stop is the likeliest token of all and stands in what lookup finds.
		r := Request{IDs: []int32{5, 9, 7, 5, 9}, StopIDs: []int32{7}, MinTokens: least, MaxTokens: 30}
		r.Sampling.Bias = []sample.Bias{{ID: 7, Value: 1000}, {ID: 5, Value: 500}, {ID: 9, Value: 499}}
		want := answer(generate(t, e, r)[0])
		r.Draft = 7
		out := generate(t, e, r)[0]
		if answer(out) != want || len(out.Tokens) != least+1 || out.Finish != Stopped {
			t.Errorf("min_tokens %d: %s, without guesses %s", least, answer(out), want)
		}
		accepted = e.Stats().Accepted
	}
	if accepted == 0 {
		t.Error("no guess was right, so that was not tested")
	}
}

// forms is a grammar with a long forced beginning and a choice in it.
func forms(seed uint64, vocab int) *words {
	head, tail := randomIDs(seed, 9, vocab-10), randomIDs(seed+1, 5, vocab-10)
	return &words{end: 2, of: [][]int32{slices.Concat(head, []int32{int32(vocab - 1)}, tail), slices.Concat(head, []int32{int32(vocab - 2)}, tail), head[:5]}}
}

func run(t *rapid.T, e *Engine, reqs ...Request) []Result {
	out, err := e.Generate(t.Context(), reqs, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e.pool.Used() != 0 {
		t.Fatalf("%d cache blocks are still held", e.pool.Used())
	}
	return out
}

// TestForcedTextTakesFewSteps: what a grammar forces comes several tokens a step.
func TestForcedTextTakesFewSteps(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	long := randomIDs(5, 40, m.Config().Vocab)
	steps := func(draft int) uint64 {
		e := engine(t, m, Options{MaxTokens: 64})
		r := Request{IDs: []int32{1, 5}, StopIDs: []int32{2}, Grammar: &words{of: [][]int32{long}, end: 2}, Draft: draft}
		if out := generate(t, e, r)[0]; len(out.Tokens) != 41 || out.Finish != Stopped {
			t.Fatalf("%d tokens (%s), expected 40 and the stop", len(out.Tokens), out.Finish)
		}
		return e.Stats().Steps
	}
	if without, with := steps(0), steps(7); without != 41 || with > 8 {
		t.Errorf("%d steps without guesses, %d with seven a step; expected 41 and at most 8", without, with)
	}
}

func TestLookupTakesTheLongestAndLatest(t *testing.T) {
	for _, c := range []struct {
		ids  []int32
		want int
	}{
		{[]int32{1}, 0},
		{[]int32{1, 2, 3, 4}, 0},
		{[]int32{4, 5, 4}, 0},                         // one token is no match
		{[]int32{4, 5, 6, 4, 5}, 2},                   // two are
		{[]int32{4, 5, 6, 4, 5, 7, 4, 5}, 5},          // the latest
		{[]int32{3, 4, 5, 6, 4, 5, 7, 3, 4, 5}, 3},    // the longest
		{[]int32{9, 1, 2, 3, 4, 8, 0, 1, 2, 3, 4}, 5}, // no longer than four
		{[]int32{5, 5, 5, 5, 5, 5}, 5},                // overlapping itself
		{[]int32{1, 2, 3, 4, 6, 1, 2, 3, 4, 7, 2, 3}, 8},
	} {
		s := &Sequence{ids: c.ids}
		if got, _ := s.lookup(); got != c.want {
			t.Errorf("%v: the guess begins at %d, expected %d", c.ids, got, c.want)
		}
	}
}

// TestWrongGuessesBecomeRare: a sequence whose guesses are wrong makes fewer, and
// takes them up again when they are right.
func TestWrongGuessesBecomeRare(t *testing.T) {
	e := &Engine{cheap: cheapRows}
	s := &Sequence{item: item{need: 6, done: 5}, ids: []int32{1, 2, 3, 1, 2, 3}, limit: 1000, guesser: newGuesser(8)}
	e.running = []*Sequence{s}
	try := func(right func(n int) int) (made int) {
		for range 300 {
			if e.guess(); s.guess > 0 {
				made++
				s.learn(right(s.guess), s.guess)
			}
		}
		return made
	}
	if n := try(func(int) int { return 0 }); n > 60 {
		t.Errorf("%d of 300 steps had guesses, all of them wrong; expected at most 60", n)
	}
	if n := try(func(n int) int { return n }); n < 200 || s.guess != 3 {
		t.Errorf("%d of 300 steps had guesses, all of them right, the last one %d; expected more than 200, and all three tokens", n, s.guess)
	}
}

// TestGuessesThatPay: where rows are dear a guess must be the likelier to be right.
func TestGuessesThatPay(t *testing.T) {
	e := &Engine{cheap: cheapRows}
	for _, c := range []struct {
		rows   int
		chance float64
		want   bool
	}{{1, 0.1, true}, {1, 0.04, false}, {4, 0.4, false}, {4, 0.7, true}, {7, 0.4, false}, {7, 0.9, true}} {
		if got := e.pays(c.rows, float64(c.rows), c.chance); got != c.want {
			t.Errorf("%d rows and a guess that is right by %v: pays %v", c.rows, c.chance, got)
		}
	}
}

// TestGuessesKeepToCheapRows: a step with guesses has no more than cheapRows, and
// sequences share them.
func TestGuessesKeepToCheapRows(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	for _, n := range []int{1, 3, 7, 8, 20} {
		e := engine(t, m, Options{MaxTokens: 512})
		for i := range n {
			if _, err := e.Add(Request{IDs: loops(uint64(i), 20, m.Config().Vocab), MaxTokens: 60, Draft: 12}, nil); err != nil {
				t.Fatal(err)
			}
		}
		for !e.Idle() {
			step(t, e)
			if s := e.LastStep(); s.Guessed > max(0, cheapRows-s.Decoding) {
				t.Fatalf("%d sequences decode and %d rows are guesses; expected %d rows in all", s.Decoding, s.Guessed, cheapRows)
			}
		}
		if s := e.Stats(); n < cheapRows && s.Accepted == 0 {
			t.Errorf("%d sequences: no guess of %d was right", n, s.Drafted)
		}
	}
}
