package infer

import (
	"testing"

	"dlm/engine/kernel"
)

// delay is the number of steps after which a request of one tenant gets its first
// token, when another has sent flood requests before it, all of prompt and tokens.
func delay(t *testing.T, fcfs bool, l limits, flood, prompt, tokens int) (first int) {
	t.Helper()
	w := newWorld(2, l)
	w.fcfs = fcfs
	greedy, other := &tenant{running: 0}, &tenant{running: 1}
	for range flood {
		w.left[w.add(greedy, item{need: prompt})] = tokens - 1
	}
	for range 50 { // well under way
		w.step(t)
	}
	ts := tenants{all: map[string]*tenant{"greedy": greedy, "other": other}}
	greedy.waiting = make([]*Sequence, 1) // it has something to do
	ts.of("other")
	it := w.add(other, item{need: prompt})
	w.left[it] = tokens - 1
	for it.done < prompt {
		w.step(t)
		if first++; first > 100000 {
			t.Fatal("never")
		}
	}
	return first
}

// TestNobodyWaitsForAFlood: a request is not delayed by more than a slot's turnover
// by another tenant's thousand, counted in steps. First come, first served is what it
// is held against: there it waits for nearly all of them.
func TestNobodyWaitsForAFlood(t *testing.T) {
	for name, c := range map[string]struct {
		l              limits
		prompt, tokens int
	}{
		"short prompts":   {limits{rows: 128, chunk: 128, sequences: 8, blocks: 100}, 30, 60},
		"long prompts":    {limits{rows: 64, chunk: 64, sequences: 8, blocks: 200}, 900, 10},
		"step budget":     {limits{rows: 128, chunk: 128, prefill: 32, sequences: 8, blocks: 200}, 200, 60},
		"too few blocks":  {limits{rows: 128, chunk: 128, sequences: 8, blocks: 12}, 100, 100},
		"one at a time":   {limits{rows: 64, chunk: 64, sequences: 1, blocks: 20}, 60, 100},
		"chunks of a row": {limits{rows: 16, chunk: 1, sequences: 8, blocks: 100}, 30, 20},
	} {
		t.Run(name, func(t *testing.T) {
			// A slot's turnover: a sequence's prompt, among as many others as there are places,
			// and its tokens. After that the request still has to have its own prompt read.
			rows := c.l.rows - c.l.sequences
			if c.l.prefill > 0 {
				rows = min(rows, c.l.prefill)
			}
			own := c.prompt/min(c.l.chunk, max(rows, 1)) + 1
			turnover := c.tokens + max(own, c.prompt*c.l.sequences/rows)
			got, fcfs := delay(t, false, c.l, 1000, c.prompt, c.tokens), delay(t, true, c.l, 1000, c.prompt, c.tokens)
			t.Logf("%d steps to the first token in turns, %d first come, first served; a slot's turnover is %d", got, fcfs, turnover)
			if got > turnover+own {
				t.Errorf("%d steps to the first token, expected at most %d for a slot and %d for its own prompt", got, turnover, own)
			}
			if fcfs < 10*got {
				t.Errorf("first come, first served takes %d steps: the test does not tell the two apart", fcfs)
			}
		})
	}
}

// TestTenantsShareEqually: three who always want more get the same, though one
// sends three times as many requests as another and one long prompts.
func TestTenantsShareEqually(t *testing.T) {
	l := limits{rows: 64, chunk: 64, sequences: 8, blocks: 60}
	w := newWorld(3, l)
	who := []*tenant{{running: 0}, {running: 1}, {running: 2}}
	want := []struct{ at, prompt, tokens int }{{12, 40, 40}, {4, 40, 40}, {4, 300, 20}}
	for range 3000 {
		for i, c := range want {
			for len(w.lines[i]) < c.at {
				w.left[w.add(who[i], item{need: c.prompt})] = c.tokens - 1
			}
		}
		w.step(t)
	}
	least, most := who[0].served, who[0].served
	for _, o := range who {
		least, most = min(least, o.served), max(most, o.served)
	}
	// VTC's bound: twice what a batch can hold of one tenant.
	if bound := int64(2 * l.sequences * (300 + 2*20)); most-least > bound {
		t.Errorf("served %d, %d and %d; expected them within %d", who[0].served, who[1].served, who[2].served, bound)
	}
}

// TestNothingIsSavedUp: one who comes late starts level, and who has gone is forgotten.
func TestNothingIsSavedUp(t *testing.T) {
	e := engine(t, tiny(t, "llama-tied", kernel.BF16, 1), Options{})
	add := func(tenant string) *Sequence {
		s, err := e.Add(Request{IDs: randomIDs(1, 40, 384), MaxTokens: 30, Tenant: tenant}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a := add("a")
	for range 20 {
		step(t, e)
	}
	if b := add("b"); b.account.served != a.account.served || b.account.served < 40 {
		t.Errorf("the newcomer stands at %d, the other at %d", b.account.served, a.account.served)
	}
	untilIdle(t, e)
	if c := add("c"); c.account.served != 0 || len(e.tenants.all) != 1 {
		t.Errorf("after all have gone a newcomer stands at %d, %d tenants are known", c.account.served, len(e.tenants.all))
	}
	untilIdle(t, e)
}
