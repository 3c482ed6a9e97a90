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
			r.Sampling = sample.Params{Temperature: 1, TopK: 20, TopP: 0.9, Seed: 3}
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
