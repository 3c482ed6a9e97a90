package infer

import (
	"slices"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/kv"
	"dlm/engine/model"
)

// cachedOf runs requests one after the other and returns how many tokens of each
// prompt were in the cache.
func cachedOf(t *testing.T, e *Engine, reqs ...Request) (n []int) {
	t.Helper()
	for _, r := range reqs {
		n = append(n, generate(t, e, r)[0].Cached)
	}
	return n
}

// TestPrefixesBelongToAnAdapter: a prompt seen before is found again under the same
// key and never under another, nor under the base, nor where there is none.
func TestPrefixesBelongToAnAdapter(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	e := engine(t, m, Options{})
	ids := randomIDs(1, 150, 384)
	one, two := adapter(m, 4, 1), adapter(m, 4, 2)
	base := Request{IDs: ids, MaxTokens: 2}
	with := func(a model.Adapter, key string) Request { r := base; r.Adapter, r.Key = a, key; return r }
	got := cachedOf(t, e, base, with(one, "one"), with(two, "two"), with(one, ""), base, with(one, "one"), with(two, "two"), with(one, ""))
	if want := []int{0, 0, 0, 0, 128, 128, 128, 0}; !slices.Equal(got, want) {
		t.Errorf("cached %v, expected %v", got, want)
	}
	if s := e.Stats(); s.Cached != 3*128 || s.Prompt != 8*150 || s.CacheUsed != 0 || s.CacheKept != 6 {
		t.Errorf("%+v", s)
	}
	if _, err := e.Add(with(nil, "one"), nil); err == nil {
		t.Error("the base with an adapter's key was accepted")
	}
	of := func(tenant string) Request { r := base; r.Tenant = tenant; return r }
	if n := cachedOf(t, engine(t, m, Options{OwnPrefixes: true}), of("a"), of("b"), of("a"), of("")); !slices.Equal(n, []int{0, 0, 128, 0}) {
		t.Errorf("cached %v among tenants that share nothing", n)
	}
	if n := cachedOf(t, engine(t, m, Options{NoPrefixes: true}), base, base); n[1] != 0 {
		t.Errorf("%d tokens from a cache that keeps none", n[1])
	}
}

// TestHowMuchIsFound: whole blocks, and never the last token of the prompt.
func TestHowMuchIsFound(t *testing.T) {
	e := engine(t, tiny(t, "llama-tied", kernel.BF16, 1), Options{})
	prompt := randomIDs(1, 200, 384)
	other := slices.Clone(prompt)
	other[70]++
	for _, c := range []struct {
		ids  []int32
		want int
	}{
		{prompt, 0}, {prompt, 192}, {prompt[:192], 128}, {prompt[:193], 192}, {prompt[:64], 0}, {prompt[:65], 64}, {prompt[:63], 0}, {other, 64}, {other, 192}, {prompt[1:], 0},
	} {
		if got := cachedOf(t, e, Request{IDs: c.ids, MaxTokens: 1})[0]; got != c.want {
			t.Errorf("%d tokens of a prompt of %d were found, expected %d", got, len(c.ids), c.want)
		}
	}
	// A conversation goes on: the answer is part of the next prompt.
	first := generate(t, e, Request{IDs: prompt[:100], MaxTokens: 60})[0]
	next := slices.Concat(prompt[:100], ids(first), prompt[:30])
	if got := cachedOf(t, e, Request{IDs: next, MaxTokens: 1})[0]; got != 128 {
		t.Errorf("%d tokens of a conversation were found, expected 128 of 159 that were computed", got)
	}
}

// TestChoicesComputeTheirPromptOnce: of several that ask the same at once, one
// computes the prompt's full blocks and the others wait for them.
func TestChoicesComputeTheirPromptOnce(t *testing.T) {
	for _, chunk := range []int{512, 50} {
		e := engine(t, tiny(t, "llama-tied", kernel.BF16, 1), Options{PrefillChunk: chunk})
		r := Request{IDs: randomIDs(1, 200, 384), MaxTokens: 1}
		for range 8 {
			if _, err := e.Add(r, nil); err != nil {
				t.Fatal(err)
			}
		}
		most := 0
		for !e.Idle() {
			step(t, e)
			most = max(most, e.pool.Used())
		}
		if got, want := e.Stats().Computed, uint64(200+7*8); got != want || e.Stats().Cached != 7*192 {
			t.Errorf("chunks of %d: %d positions computed, expected %d", chunk, got, want)
		}
		if most > 3+8 {
			t.Errorf("chunks of %d: %d blocks held for eight sequences of three shared ones and one of their own", chunk, most)
		}
	}
}

// TestStartingOverFindsItsOwnBlocks: what was computed before an eviction is there
// unless others took the blocks.
func TestStartingOverFindsItsOwnBlocks(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	e := engine(t, m, Options{CacheBytes: 6 * shapeOf(m).BlockBytes()})
	for i := range 2 {
		if _, err := e.Add(Request{IDs: randomIDs(uint64(i), 129, 384), MaxTokens: 160}, nil); err != nil {
			t.Fatal(err)
		}
	}
	untilIdle(t, e)
	s := e.Stats()
	if again := s.Computed - 2*(129+159); s.Preempted == 0 || again > 64*s.Preempted+64 {
		t.Errorf("%d positions computed again after starting over %d times", again, s.Preempted)
	}
	if s.Cached != 0 {
		t.Errorf("%d tokens of prompts count as cached, which were computed for nobody else", s.Cached)
	}
}

// TestDropFreesAtOnce: in every state a sequence can be in, its blocks are free when
// Drop returns, and of shared ones those that nobody else holds.
func TestDropFreesAtOnce(t *testing.T) {
	e := engine(t, tiny(t, "llama-tied", kernel.BF16, 1), Options{PrefillChunk: 50, MaxSequences: 2})
	ids := randomIDs(1, 200, 384)
	add := func() *Sequence {
		s, err := e.Add(Request{IDs: ids, MaxTokens: 50}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b, waits := add(), add(), add()
	step(t, e) // a is amid its prompt, b follows it
	e.Drop(waits)
	if e.Stats().Waiting != 1 {
		t.Errorf("%d wait, expected the follower alone", e.Stats().Waiting)
	}
	for range 20 {
		step(t, e)
	}
	if used := e.pool.Used(); used != 3+2 {
		t.Errorf("two sequences hold %d blocks, expected three shared ones and one each", used)
	}
	e.Drop(a)
	if used := e.pool.Used(); used != 4 || a.cache != nil {
		t.Errorf("%d blocks used after one is dropped, expected 4", used)
	}
	e.Drop(b)
	e.Drop(b)
	if e.pool.Used() != 0 || !e.Idle() || e.pool.Free() != e.pool.Limit() {
		t.Errorf("%d blocks used after both are dropped", e.pool.Used())
	}
	if len(e.tenants.queued) != 0 || a.tenant.active() {
		t.Error("the tenant still has something to do")
	}
}

// TestScoringNeedsItsRows: positions whose log-probability is asked for are computed,
// though the cache holds them; those before are not.
func TestScoringNeedsItsRows(t *testing.T) {
	e := engine(t, tiny(t, "llama-tied", kernel.BF16, 1), Options{})
	ids := randomIDs(1, 200, 384)
	whole := score(t, e, ScoreRequest{IDs: ids, From: 1, Route: Whole})[0]
	generate(t, e, Request{IDs: ids, MaxTokens: 1})
	for _, from := range []int{1, 64, 65, 66, 130, 199} {
		before := e.Stats().Computed
		got := score(t, e, ScoreRequest{IDs: ids, From: from, Route: Cached})[0]
		sameBits(t, "scored with the cache", got, whole[from-1:])
		if computed, want := int(e.Stats().Computed-before), 199-(from-1)/kv.BlockSize*kv.BlockSize; computed != want {
			t.Errorf("from %d: %d positions computed, expected %d", from, computed, want)
		}
	}
}

// TestWholeScoresDoNotWaitForStreams: where others decode all the time, a scoring
// that would take a pass of its own goes through the cache, with the same bits.
func TestWholeScoresDoNotWaitForStreams(t *testing.T) {
	e := engine(t, tiny(t, "llama-tied", kernel.BF16, 1), Options{MaxTokens: 128, PrefillRows: 32})
	r := ScoreRequest{IDs: randomIDs(1, 129, 384), From: 1}
	want := score(t, e, r)[0]
	if _, err := e.Add(Request{IDs: randomIDs(2, 5, 384), MaxTokens: 300}, nil); err != nil {
		t.Fatal(err)
	}
	step(t, e)
	s, err := e.AddScore(r)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		step(t, e)
		if e.LastStep().Prefill > 32 || e.LastStep().Decoding != 1 {
			t.Errorf("%+v: expected at most 32 rows of prompts beside the stream", e.LastStep())
		}
	}
	got, err := s.Scores()
	if err != nil || !s.Done() {
		t.Fatal("not done after four steps of 32 rows: ", err)
	}
	sameBits(t, "scored beside a stream", got, want)
}
