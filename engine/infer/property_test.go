package infer

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/model"
	"pgregory.net/rapid"
)

// served is a request of the property test, on its way through an engine.
type served struct {
	gen   *Request
	score *ScoreRequest
	seq   *Sequence
	seen  []Token // emitted
	form  func() Grammar
	gone  bool // dropped
}

// TestNothingElseChangesAnAnswer is engine law 2 as a server meets it: under random
// arrivals, tenants, adapters, shared prompts, cancellations, limits of a step and
// a cache that is far too small, each answer has the tokens and the bits that it
// has alone in an engine that shares nothing; and at the end no block is held.
// When it fails it prints the seed of its draws, and the flag that repeats them.
func TestNothingElseChangesAnAnswer(t *testing.T) {
	for _, name := range []string{"llama-tied/q4_1.gguf", "qwen2"} {
		t.Run(name, func(t *testing.T) {
			m := tiny(t, name, kernel.BF16, 2)
			w := &crowd{m: m, adapters: []model.Adapter{nil, adapter(m, 4, 1), adapter(m, 3, 2), patterned(m)}, keys: []string{"", "one", "two", ""}}
			var n Stats
			rapid.Check(t, func(t *rapid.T) {
				w.r = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
				e, all := w.run(t)
				w.compare(t, all)
				s := e.Stats()
				n.Preempted += s.Preempted
				n.Cached += s.Cached
			})
			t.Logf("%d sequences started over, %d tokens were found in the cache", n.Preempted, n.Cached)
			if !testing.Short() && (n.Preempted == 0 || n.Cached == 0) { // rapid draws fewer then
				t.Errorf("%d sequences started over and %d tokens were found in the cache: that was not tested", n.Preempted, n.Cached)
			}
		})
	}
}

// crowd makes requests and runs them together.
type crowd struct {
	m        *model.Model
	adapters []model.Adapter
	keys     []string
	r        *rand.Rand
}

// between draws a number from lo to hi. All of them are equally likely, unlike
// rapid's, which are small: prompts of one token share nothing and evict nobody.
func (w *crowd) between(lo, hi int) int { return lo + w.r.IntN(hi-lo+1) }

// draw makes a request that takes at most blocks cache blocks. Prompts begin alike.
func (w *crowd) draw(blocks int) *served {
	vocab := w.m.Config().Vocab
	most := min(blocks*64, 250)
	ids := slices.Clone(randomIDs(uint64(w.between(100, 101)), 200, vocab)[:w.between(1, min(200, most-10))])
	ids = append(ids, randomIDs(uint64(w.between(1, 3)), w.between(0, 8), vocab)...)
	a := min(w.between(0, len(w.adapters)-1), w.between(0, len(w.adapters)-1)) // those with keys more often
	tenant := string(rune('a' + w.between(0, 2)))
	if len(ids) > 1 && w.between(0, 3) == 0 {
		return &served{score: &ScoreRequest{
			IDs: ids, From: w.between(1, len(ids)), Adapter: w.adapters[a], Key: w.keys[a], Tenant: tenant,
			Route: []Route{Auto, Cached}[w.between(0, 1)],
		}}
	}
	r := &Request{IDs: ids, Adapter: w.adapters[a], Key: w.keys[a], Tenant: tenant}
	r.MaxTokens = w.between(1, min(60, most-len(ids)))
	if w.between(0, 1) == 0 {
		r.Sampling.Temperature, r.Sampling.TopP, r.Sampling.Seed = 1.2, 0.95, uint64(w.between(1, 2))
		r.Sampling.RepetitionPenalty = []float64{0, 1.2}[w.between(0, 1)]
	}
	r.Draft, r.TopLogProbs = w.between(0, 6), w.between(0, 2)
	r.PromptLogProbs = w.between(0, 3) == 0
	r.PromptOnly = r.PromptLogProbs && w.between(0, 1) == 0
	s := &served{gen: r, form: func() Grammar { return nil }}
	if w.between(0, 3) == 0 {
		seed := uint64(w.between(1, 3))
		s.form = func() Grammar { return forms(seed, vocab) }
		r.Grammar, r.StopIDs = s.form(), []int32{2}
	}
	return s
}

// run lets requests come and go until all are done.
func (w *crowd) run(t *rapid.T) (*Engine, []*served) {
	blocks := w.between(2, 6) // far too few, or enough to keep some
	if w.between(0, 1) == 0 {
		blocks = w.between(8, 20)
	}
	o := Options{
		MaxTokens:    w.between(8, 150),
		MaxSequences: w.between(1, 6),
		PrefillRows:  w.between(0, 20),
		CacheBytes:   int64(blocks) * shapeOf(w.m).BlockBytes(),
		NoPrefixes:   w.between(0, 19) == 0,
	}
	o.PrefillChunk = w.between(1, o.MaxTokens)
	e, err := New(w.m, letters{}, o)
	if err != nil {
		t.Fatal(err)
	}
	var all []*served
	for coming := w.between(2, 24); coming > 0 || !e.Idle(); {
		switch op := w.between(0, 59); {
		case op < 20 && coming > 0:
			coming--
			s := w.draw(blocks)
			w.add(t, e, s)
			all = append(all, s)
		case op == 20 && len(all) > 0:
			s := all[w.between(0, len(all)-1)]
			s.gone = s.gone || !s.seq.Done()
			e.Drop(s.seq)
		case op == 21:
			e.SetPrefillRows(w.between(0, 40))
		default:
			if err := e.Step(); err != nil {
				t.Fatal(err)
			}
		}
		w.consistent(t, e)
	}
	if e.pool.Used() != 0 || len(e.tenants.queued) != 0 {
		t.Fatalf("%d blocks are held at the end, %d tenants queue", e.pool.Used(), len(e.tenants.queued))
	}
	if e.Forget(); e.pool.Free() != blocks {
		t.Fatalf("%d blocks of %d are free at the end", e.pool.Free(), blocks)
	}
	return e, all
}

func (w *crowd) add(t *rapid.T, e *Engine, s *served) {
	var err error
	if s.gen != nil {
		s.seq, err = e.Add(*s.gen, func(tok Token) { s.seen = append(s.seen, tok) })
	} else {
		s.seq, err = e.AddScore(*s.score)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// consistent holds the engine's books to what the sequences hold.
func (w *crowd) consistent(t *rapid.T, e *Engine) {
	most, running := 0, map[*tenant]int{}
	for _, s := range e.running {
		running[s.tenant]++
		if s.cache != nil {
			most += s.cache.Held()
			if s.cache.Len() != s.done || s.cache.Held() != s.blocks {
				t.Fatalf("%d positions in %d blocks, the scheduler counts %d in %d", s.cache.Len(), s.cache.Held(), s.done, s.blocks)
			}
		}
	}
	for s, n := range running {
		if s.running != n {
			t.Fatalf("a tenant has %d sequences running and counts %d", n, s.running)
		}
	}
	if e.pool.Used() > most || e.pool.Used()+e.pool.Kept() > e.pool.Limit() {
		t.Fatalf("%d blocks used and %d kept of %d; sequences hold %d", e.pool.Used(), e.pool.Kept(), e.pool.Limit(), most)
	}
}

// compare holds every answer to the one that its request gets alone.
func (w *crowd) compare(t *rapid.T, all []*served) {
	for i, s := range all {
		switch alone := w.engine(t); {
		case s.score != nil:
			got, err := s.seq.Scores()
			want, err2 := alone.Score(context.Background(), []ScoreRequest{*s.score})
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			if s.gone {
				want[0] = want[0][:len(got)]
			}
			if !slices.EqualFunc(got, want[0], sameFloat) {
				t.Fatalf("scoring %d: %v, alone %v", i, got, want[0])
			}
		default:
			got, err := s.seq.Result()
			plain := *s.gen
			plain.Draft, plain.Grammar = 0, s.form()
			want, err2 := alone.Generate(context.Background(), []Request{plain}, nil)
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			tokens := want[0].Tokens
			if s.gone {
				tokens = tokens[:len(got.Tokens)]
			} else if got.Finish != want[0].Finish || got.Text != want[0].Text {
				t.Fatalf("completion %d: %q (%s), alone %q (%s)", i, got.Text, got.Finish, want[0].Text, want[0].Finish)
			}
			if !sameTokens(got.Tokens, tokens) || !sameTokens(s.seen, tokens) {
				t.Fatalf("completion %d: %v, emitted %v, alone %v", i, got.Tokens, s.seen, tokens)
			}
			if !s.gone && !sameTokens(got.Prompt, want[0].Prompt) {
				t.Fatalf("completion %d reports its prompt as %v, alone %v", i, got.Prompt, want[0].Prompt)
			}
			if got.Cached > len(s.gen.IDs)-1 {
				t.Fatalf("completion %d: %d of %d tokens of its prompt were in the cache; the last is always computed", i, got.Cached, len(s.gen.IDs))
			}
		}
	}
}

// engine is one in which nothing is shared, kept or short.
func (w *crowd) engine(t *rapid.T) *Engine {
	e, err := New(w.m, letters{}, Options{MaxTokens: 256, MaxSequences: 1, NoPrefixes: true})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func sameFloat(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }

func sameTokens(a, b []Token) bool {
	return slices.EqualFunc(a, b, func(a, b Token) bool {
		return sameFloat(a.LogProb, b.LogProb) && fmt.Sprint(a) == fmt.Sprint(b)
	})
}
