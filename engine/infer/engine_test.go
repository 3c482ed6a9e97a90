package infer

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/sample"
)

func generate(t *testing.T, e *Engine, reqs ...Request) []Result {
	t.Helper()
	out, err := e.Generate(context.Background(), reqs, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !e.Idle() || e.pool.Used() != 0 {
		t.Fatalf("after a call the engine still holds %d blocks", e.pool.Used())
	}
	return out
}

func ids(r Result) (ids []int32) {
	for _, t := range r.Tokens {
		ids = append(ids, t.ID)
	}
	return ids
}

func TestStopConditions(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	e := engine(t, m, Options{})
	r := Request{IDs: randomIDs(3, 10, 384), MaxTokens: 20}
	free := generate(t, e, r)[0]
	if free.Finish != Length || len(free.Tokens) != 20 || len(free.Text) != 20 {
		t.Fatalf("%d tokens, text %q, finish %q; expected 20 letters and length", len(free.Tokens), free.Text, free.Finish)
	}

	t.Run("stop id", func(t *testing.T) {
		stop := r
		stop.StopIDs = []int32{9999, free.Tokens[7].ID}
		at := slices.Index(ids(free), free.Tokens[7].ID)
		got := generate(t, e, stop)[0]
		if got.Finish != Stopped || got.Text != free.Text[:at] || len(got.Tokens) != at+1 {
			t.Fatalf("text %q, %d tokens, finish %q; expected %q", got.Text, len(got.Tokens), got.Finish, free.Text[:at])
		}
		if last := got.Tokens[at]; last.Text != "" || last.LogProb != free.Tokens[at].LogProb {
			t.Errorf("the stop token is %+v, expected no text and log-probability %v", last, free.Tokens[at].LogProb)
		}
	})
	t.Run("stop string over tokens", func(t *testing.T) {
		stop := r
		stop.StopStrings = []string{free.Text[5:8]}
		at := strings.Index(free.Text, free.Text[5:8])
		got := generate(t, e, stop)[0]
		if got.Finish != Stopped || got.Text != free.Text[:at] || len(got.Tokens) != at+3 {
			t.Fatalf("text %q, %d tokens, finish %q; expected %q", got.Text, len(got.Tokens), got.Finish, free.Text[:at])
		}
	})
	t.Run("held back text comes at the end", func(t *testing.T) {
		stop := r
		stop.StopStrings = []string{free.Text[17:] + "!"}
		got := generate(t, e, stop)[0]
		if got.Text != free.Text || got.Finish != Length {
			t.Fatalf("text %q, finish %q; expected %q", got.Text, got.Finish, free.Text)
		}
	})
	t.Run("context", func(t *testing.T) {
		long := Request{IDs: randomIDs(3, 505, 384)}
		got := generate(t, e, long)[0]
		if len(got.Tokens) != 512-505 || got.Finish != Length {
			t.Fatalf("%d tokens after a prompt of 505 in a context of 512, finish %q", len(got.Tokens), got.Finish)
		}
	})
}

func TestRefusals(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	e := engine(t, m, Options{})
	ok := Request{IDs: []int32{1, 2}, MaxTokens: 2}
	for word, r := range map[string]Request{
		"no tokens":   {},
		"context":     {IDs: randomIDs(1, 512, 384)},
		"max_tokens":  {IDs: []int32{1}, MaxTokens: -1},
		"vocabulary":  {IDs: []int32{1, 384}},
		"id -1":       {IDs: []int32{-1}},
		"top_p":       {IDs: []int32{1}, Sampling: sample.Params{TopP: 3}},
		"stop string": {IDs: []int32{1}, StopStrings: []string{""}},
	} {
		_, err := e.Generate(context.Background(), []Request{ok, r}, nil)
		var re *RequestError
		if !errors.As(err, &re) || re.Index != 1 || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), "request 2") {
			t.Errorf("error %v does not say %q of request 2", err, word)
		}
	}
	for word, r := range map[string]ScoreRequest{
		"before it":  {IDs: []int32{1, 2}, From: 0},
		"context":    {IDs: randomIDs(1, 513, 384), From: 1},
		"as a whole": {IDs: randomIDs(1, 512, 384), From: 1, Route: Whole},
	} {
		e := engine(t, m, Options{MaxTokens: 100})
		if _, err := e.Score(context.Background(), []ScoreRequest{r}); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v does not say %q", err, word)
		}
	}
	tight := engine(t, m, Options{CacheBytes: e.pool.Shape().BlockBytes()})
	if _, err := tight.Generate(context.Background(), []Request{{IDs: []int32{1}, MaxTokens: 65}}, nil); err == nil || !strings.Contains(err.Error(), "cache") {
		t.Errorf("a request that can never fit the cache: %v", err)
	}
	generate(t, tight, Request{IDs: []int32{1}, MaxTokens: 64})
	generate(t, e, ok) // nothing of the refused is left
}

func TestScoreOfNothing(t *testing.T) {
	e := engine(t, tiny(t, "llama-tied", kernel.BF16, 1), Options{})
	got := score(t, e, ScoreRequest{IDs: []int32{1, 2}, From: 2}, ScoreRequest{IDs: []int32{1, 2}, From: 1})
	if len(got[0]) != 0 || len(got[1]) != 1 {
		t.Errorf("scores %v, expected none and one", got)
	}
}

func TestCancel(t *testing.T) {
	e := engine(t, tiny(t, "llama-tied", kernel.BF16, 1), Options{MaxSequences: 2})
	ctx, cancel := context.WithCancel(context.Background())
	seen := 0
	reqs := []Request{{IDs: []int32{1}}, {IDs: []int32{2}}, {IDs: []int32{3}}}
	_, err := e.Generate(ctx, reqs, func(int, Token) {
		if seen++; seen == 5 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || seen > 6 {
		t.Errorf("error %v after %d tokens, expected to be cancelled after the step of the fifth", err, seen)
	}
	if !e.Idle() || e.pool.Used() != 0 {
		t.Errorf("a cancelled call left sequences or blocks behind")
	}
	generate(t, e, Request{IDs: []int32{1}, MaxTokens: 3})
}

// TestSequencesComeAndGo drives Step itself, as a server does: requests enter
// while others run, one is dropped, and each answers as it would alone.
func TestSequencesComeAndGo(t *testing.T) {
	m := tiny(t, "qwen2", kernel.BF16, 2)
	e := engine(t, m, Options{MaxTokens: 32, MaxSequences: 3})
	var reqs []Request
	for i := range 6 {
		reqs = append(reqs, Request{IDs: randomIDs(uint64(i), 10+20*i, 392), MaxTokens: 12})
	}
	var running []*Sequence
	for step := 0; len(running) < len(reqs) || !e.Idle(); step++ {
		if step%2 == 0 && len(running) < len(reqs) {
			s, err := e.Add(reqs[len(running)], nil)
			if err != nil {
				t.Fatal(err)
			}
			running = append(running, s)
		}
		if step == 5 {
			e.Drop(running[1])
		}
		if err := e.Step(); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range running {
		if i == 1 {
			continue
		}
		got, err := s.Result()
		if err != nil || !s.Done() {
			t.Fatal(err)
		}
		if alone := generate(t, engine(t, m, Options{}), reqs[i])[0]; !slices.Equal(ids(got), ids(alone)) {
			t.Errorf("sequence %d: %v, alone %v", i, ids(got), ids(alone))
		}
	}
	if e.pool.Used() != 0 {
		t.Errorf("%d blocks are still held", e.pool.Used())
	}
}

// TestSequenceSeeds: completions of one prompt and seed differ by their
// sequence number and by nothing else.
func TestSequenceSeeds(t *testing.T) {
	e := engine(t, tiny(t, "llama-tied", kernel.BF16, 1), Options{})
	r := Request{IDs: []int32{5, 6, 7}, MaxTokens: 10, Sampling: sample.Params{Temperature: 1.5, Seed: 4}}
	other := r
	other.Sampling.Sequence = 1
	out := generate(t, e, r, other, r)
	if !slices.Equal(ids(out[0]), ids(out[2])) || slices.Equal(ids(out[0]), ids(out[1])) {
		t.Errorf("equal requests gave %v and %v, another sequence number %v", ids(out[0]), ids(out[2]), ids(out[1]))
	}
}

// TestDrawsFollowThePosition: each position has a draw of its own, counted from
// the first token of the prompt, so a completion can be taken up in its middle.
func TestDrawsFollowThePosition(t *testing.T) {
	e := engine(t, tiny(t, "llama-tied", kernel.BF16, 1), Options{})
	r := Request{IDs: []int32{5, 6, 7}, MaxTokens: 10, Sampling: sample.Params{Temperature: 1e4, Seed: 4}}
	whole := ids(generate(t, e, r)[0])
	if distinct := len(slices.Compact(slices.Sorted(slices.Values(whole)))); distinct < 8 {
		t.Errorf("ten draws from a flat distribution gave %v", whole)
	}
	r.IDs, r.MaxTokens = append(r.IDs, whole[:4]...), 6
	if rest := ids(generate(t, e, r)[0]); !slices.Equal(rest, whole[4:]) {
		t.Errorf("taken up after %v: %v, expected %v", whole[:4], rest, whole[4:])
	}
}

// TestBrokenWeightsAreNotSampledFrom: an adapter that holds NaN ends its own
// sequence with an error.
func TestBrokenWeightsAreNotSampledFrom(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.F32, 1)
	a := adapter(m, 2, 1)
	a.Params()[1].Value[0] = float32(math.NaN())
	a.Repack(m.Exec())
	e := engine(t, m, Options{})
	_, err := e.Generate(context.Background(), []Request{{IDs: []int32{1}, MaxTokens: 2, Adapter: a}}, nil)
	if !errors.Is(err, sample.ErrNotFinite) {
		t.Errorf("generating: error %v", err)
	}
	_, err = e.Score(context.Background(), []ScoreRequest{{IDs: []int32{1, 2, 3}, From: 1, Adapter: a}})
	if !errors.Is(err, sample.ErrNotFinite) {
		t.Errorf("scoring: error %v", err)
	}
}

// TestSchedulingAndSamplingDoNotAllocate: in a step in which nothing enters or
// leaves, what this package allocates is the text of the tokens and now and then
// the growth of a list or a cache block's table.
func TestSchedulingAndSamplingDoNotAllocate(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 2)
	e := engine(t, m, Options{})
	for i := range 4 {
		r := Request{IDs: randomIDs(uint64(i), 20, 384), Adapter: adapter(m, 2, uint64(i))}
		r.Sampling = sample.Params{Temperature: 1, TopP: 0.9, RepetitionPenalty: 1.1}
		if _, err := e.Add(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 60 {
		if err := e.Step(); err != nil {
			t.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	var mallocs uint64
	const steps = 100
	for range steps {
		runtime.ReadMemStats(&before)
		e.schedule()
		runtime.ReadMemStats(&after)
		mallocs += after.Mallocs - before.Mallocs
		if err := e.run(); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&before)
		e.score()
		e.sample()
		runtime.ReadMemStats(&after)
		mallocs += after.Mallocs - before.Mallocs
	}
	if n := float64(mallocs) / steps; n > 6 {
		t.Errorf("%v allocations a step of four sequences", n)
	}
}

// TestScoresShareThePrompt: the choices of one item are scored with the bits of
// each alone, in any order, and one pass holds choices that would not fit it
// without their shared prompt.
func TestScoresShareThePrompt(t *testing.T) {
	for name, mode := range modes {
		m := tiny(t, "llama-tied", mode, 2)
		ad := adapter(m, 4, 1)
		for _, prompt := range []int{5, 20, 64, 150} {
			var reqs []ScoreRequest
			for i, n := range []int{1, 7, 30, 2, 12} {
				ids := append(randomIDs(9, prompt, 384), randomIDs(uint64(20+i), n, 384)...)
				reqs = append(reqs, ScoreRequest{IDs: ids, From: prompt, Adapter: ad})
				reqs = append(reqs, ScoreRequest{IDs: append(randomIDs(uint64(60+i), 3, 384), ids...), From: 1})
			}
			e := engine(t, m, Options{MaxTokens: 200, MaxSequences: 16})
			got := score(t, e, reqs...)
			for i, r := range reqs {
				r.Route = Cached
				if want := score(t, e, r)[0]; !slices.EqualFunc(got[i], want, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
					t.Errorf("%s: request %d after a prompt of %d tokens: %v, alone %v", name, i, prompt, got[i], want)
				}
			}
		}
		// Four choices after one prompt: one step.
		e := engine(t, m, Options{MaxTokens: 200})
		for i := range 4 {
			if _, err := e.AddScore(ScoreRequest{IDs: append(randomIDs(9, 100, 384), randomIDs(uint64(i), 10, 384)...), From: 100}); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Step(); err != nil {
			t.Fatal(err)
		}
		if !e.Idle() || e.pass.Rows() > 140 {
			t.Errorf("%s: after one step of %d rows there is still something to do: %v", name, e.pass.Rows(), !e.Idle())
		}
	}
}
