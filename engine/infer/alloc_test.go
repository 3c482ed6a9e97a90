package infer

import (
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/sample"
)

// TestStepAllocatesNothing holds engine law 5 for decoding: within a block of the
// cache a step with a sequence of the base, others of two adapters, greedy and
// sampled, takes no memory. (A token's text of several bytes is a string of its own:
// here each is one letter, which is not.)
func TestStepAllocatesNothing(t *testing.T) {
	m := tiny(t, "llama-tied/q4_1.gguf", kernel.BF16, 2)
	e := engine(t, m, Options{MaxTokens: 64})
	a, b := adapter(m, 4, 1), adapter(m, 3, 2)
	for i := range 6 {
		r := Request{IDs: randomIDs(uint64(i), 5, m.Config().Vocab), MaxTokens: 100}
		switch i % 3 {
		case 1:
			r.Adapter = a
		case 2:
			r.Adapter = b
			r.Sampling = sample.Params{Temperature: 1, TopK: 20, TopP: 0.9, Seed: 3, FrequencyPenalty: 0.1, Bias: []sample.Bias{{ID: 3, Value: 1}}}
		}
		if _, err := e.Add(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 70 { // prefill, and beyond the first block
		step(t, e)
	}
	if n := testing.AllocsPerRun(20, func() { step(t, e) }); n != 0 {
		t.Errorf("a step allocates %v times", n)
	}
}

// TestGuessesAllocateNothing holds it for steps with guesses that are right.
func TestGuessesAllocateNothing(t *testing.T) {
	m := tiny(t, "llama-tied/q4_1.gguf", kernel.BF16, 2)
	e := engine(t, m, Options{MaxTokens: 64})
	vocab := m.Config().Vocab
	for _, r := range []Request{
		{IDs: loops(2, 20, vocab), MaxTokens: 400, Draft: 3, Grammar: &forced{randomIDs(9, 500, vocab), 0}},
		{IDs: loops(3, 20, vocab), MaxTokens: 400},
	} {
		if _, err := e.Add(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		step(t, e)
	}
	for e.running[0].done%64 > 8 || e.running[1].done%64 > 40 { // what follows is within a block of the cache
		step(t, e)
	}
	before := e.Stats()
	n := testing.AllocsPerRun(10, func() { step(t, e) })
	if after := e.Stats(); after.Accepted-before.Accepted < 30 || after.Running != 2 {
		t.Fatalf("%d guesses of eleven steps were right, %d sequences run; expected 33 and 2", after.Accepted-before.Accepted, after.Running)
	}
	if n != 0 {
		t.Errorf("a step with guesses allocates %v times", n)
	}
}
