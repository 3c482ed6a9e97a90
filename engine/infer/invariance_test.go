package infer

import (
	"context"
	"fmt"
	"math"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/model"
)

// lengths of the sequences of a ragged batch: around blocks of 64, and short ones.
var lengths = []int{200, 2, 64, 65, 63, 130, 17, 129}

// TestBatchInvariance is engine law 2, bit for bit: the log-probabilities of a
// completion are the same in the training forward pass, alone, in a batch of
// eight of different lengths, whole or in chunks of any size with the cache,
// token by token, with one thread and two, with and without adapters beside.
func TestBatchInvariance(t *testing.T) {
	for _, name := range checkpoints {
		for mode, m := range modes {
			t.Run(name+"/"+mode, func(t *testing.T) {
				one, two := tiny(t, name, m, 1), tiny(t, name, m, 2)
				skipSlow(t, one, name)
				for who, adapters := range adapterSets {
					invariant(t, who, adapters, one, two, lengths, []int{1, 7, 64, 65})
				}
			})
		}
	}
}

// skipSlow leaves it at one checkpoint where there are no vector kernels: the
// portable set has the same bits and takes minutes.
func skipSlow(t *testing.T, m *model.Model, name string) {
	t.Helper()
	if m.Exec().Name() == "portable" && name != checkpoints[0] {
		t.Skip("with portable kernels only on " + checkpoints[0])
	}
}

// adapterSets are the adapters of a batch's sequences, in turns.
var adapterSets = map[string]func(m *model.Model) []model.Adapter{
	"base": func(m *model.Model) []model.Adapter { return []model.Adapter{nil} },
	"adapters": func(m *model.Model) []model.Adapter {
		return []model.Adapter{adapter(m, 4, 1), nil, adapter(m, 3, 2), patterned(m)}
	},
}

// TestBatchInvarianceReal is the same on the real model, with fewer chunk sizes:
// token by token only in bf16, since f32 reads four times the weights.
func TestBatchInvarianceReal(t *testing.T) {
	path := realModel(t)
	for mode, chunks := range map[string][]int{"bf16": {1, 33}, "f32": {33}} {
		t.Run(mode, func(t *testing.T) {
			one, two := load(t, path, modes[mode], 1), load(t, path, modes[mode], 2)
			invariant(t, "adapters", adapterSets["adapters"], one, two, []int{70, 2, 64, 5, 31, 9, 17, 3}, chunks)
		})
	}
}

func invariant(t *testing.T, who string, adapt func(*model.Model) []model.Adapter, one, two *model.Model, lengths, chunks []int) {
	t.Helper()
	adaptersOne, adaptersTwo := adapt(one), adapt(two)
	requests := func(as []model.Adapter, route Route) (reqs []ScoreRequest) {
		for i, n := range lengths {
			ids := randomIDs(uint64(i), n, one.Config().Vocab)
			reqs = append(reqs, ScoreRequest{IDs: ids, From: 1, Adapter: as[i%len(as)], Route: route})
		}
		return reqs
	}
	want := trained(t, one, requests(adaptersOne, Auto))
	check := func(how string, got [][]float32) {
		t.Helper()
		for i := range want {
			sameBits(t, fmt.Sprintf("%s, %s, sequence %d of %d tokens", who, how, i, lengths[i]), got[i], want[i])
		}
	}
	check("training with two threads", trained(t, two, requests(adaptersTwo, Auto)))
	for how, m := range map[string]*model.Model{"one thread": one, "two threads": two} {
		as := adaptersOne
		if m == two {
			as = adaptersTwo
		}
		e := engine(t, m, Options{MaxTokens: 700})
		check("whole, in a batch, "+how, score(t, e, requests(as, Whole)...))
		var alone [][]float32
		for _, r := range requests(as, Whole) {
			alone = append(alone, score(t, e, r)...)
		}
		check("whole, alone, "+how, alone)
		for _, chunk := range chunks {
			e := engine(t, m, Options{MaxTokens: 96, PrefillChunk: chunk})
			check(fmt.Sprintf("in chunks of %d with the cache, in a batch, %s", chunk, how), score(t, e, requests(as, Cached)...))
		}
		check("in chunks of 31 with a small cache, "+how, score(t, small(t, m, 31), requests(as, Cached)...))
	}
	tokenByToken(t, two, requests(adaptersTwo, Auto)[:3])
}

// small is an engine whose cache holds barely more than one sequence.
func small(t *testing.T, m *model.Model, chunk int) *Engine {
	e := engine(t, m, Options{MaxTokens: 64, PrefillChunk: chunk})
	one := e.pool.Shape().BlockBytes()
	return engine(t, m, Options{MaxTokens: 64, PrefillChunk: chunk, CacheBytes: 5 * one})
}

func score(t *testing.T, e *Engine, reqs ...ScoreRequest) [][]float32 {
	t.Helper()
	got, err := e.Score(context.Background(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	if used := e.pool.Used(); used != 0 {
		t.Fatalf("%d cache blocks are still held", used)
	}
	return got
}

// trained computes the log-probabilities as a training step does: all sequences
// in one pass that keeps its activations.
func trained(t *testing.T, m *model.Model, reqs []ScoreRequest) [][]float32 {
	t.Helper()
	var segs []model.Segment
	var targets []model.Target
	row := 0
	for _, r := range reqs {
		n := len(r.IDs) - 1
		segs = append(segs, model.Segment{IDs: r.IDs[:n], Adapter: r.Adapter})
		for i := r.From; i < len(r.IDs); i++ {
			targets = append(targets, model.Target{Row: row + i - 1, ID: r.IDs[i]})
		}
		row += n
	}
	p := m.NewPass(row, 4, true)
	if err := p.Forward(segs); err != nil {
		t.Fatal(err)
	}
	flat := make([]float32, len(targets))
	p.LogProbs(flat, targets)
	out := make([][]float32, len(reqs))
	for i, r := range reqs {
		n := len(r.IDs) - r.From
		out[i], flat = flat[:n], flat[n:]
	}
	return out
}

// tokenByToken generates, greedily and by sampling, and compares the
// log-probability of each token with what the training pass gives it.
func tokenByToken(t *testing.T, m *model.Model, reqs []ScoreRequest) {
	t.Helper()
	e := engine(t, m, Options{MaxTokens: 96})
	var gen []Request
	for i, r := range reqs {
		g := Request{IDs: r.IDs[:len(r.IDs)/2+1], Adapter: r.Adapter, MaxTokens: 20 + 30*i}
		if i%2 == 1 {
			g.Sampling.Temperature, g.Sampling.Seed = 1, 5
		}
		gen = append(gen, g)
	}
	out, err := e.Generate(context.Background(), gen, nil)
	if err != nil {
		t.Fatal(err)
	}
	var again []ScoreRequest
	var want [][]float32
	for i, g := range gen {
		ids := append([]int32{}, g.IDs...)
		var logps []float32
		for _, tok := range out[i].Tokens {
			ids = append(ids, tok.ID)
			logps = append(logps, tok.LogProb)
		}
		again = append(again, ScoreRequest{IDs: ids, From: len(g.IDs), Adapter: g.Adapter})
		want = append(want, logps)
	}
	for i, got := range trained(t, m, again) {
		sameBits(t, fmt.Sprintf("generated sequence %d", i), want[i], got)
	}
}

// sameBits compares two rows of log-probabilities bit for bit.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) || len(got) == 0 {
		t.Errorf("%s: %d values, expected %d", what, len(got), len(want))
		return
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) || want[i]-want[i] != 0 {
			t.Errorf("%s: token %d has log-probability %v, in training alone %v", what, i+1, got[i], want[i])
			return
		}
	}
}

// TestGreedyDoesNotDependOnBatch generates for batches of one to eight.
func TestGreedyDoesNotDependOnBatch(t *testing.T) {
	for _, name := range checkpoints {
		for mode, kind := range modes {
			t.Run(name+"/"+mode, func(t *testing.T) {
				m := tiny(t, name, kind, 2)
				skipSlow(t, m, name)
				greedyBatches(t, m, lengths, 40)
			})
		}
	}
}

// TestGreedyDoesNotDependOnBatchReal is the same on the real model.
func TestGreedyDoesNotDependOnBatchReal(t *testing.T) {
	greedyBatches(t, load(t, realModel(t), kernel.BF16, 2), []int{20, 3, 64, 63, 30, 65, 5, 12}, 12)
}

func greedyBatches(t *testing.T, m *model.Model, lengths []int, n int) {
	var all []Request
	a := adapter(m, 4, 9)
	for i, l := range lengths {
		r := Request{IDs: randomIDs(uint64(i+50), l, m.Config().Vocab), MaxTokens: n - i}
		if i%3 == 1 {
			r.Adapter = a
		}
		if i%4 == 3 {
			r.Sampling.Temperature, r.Sampling.TopP, r.Sampling.Seed = 1.2, 0.95, 3
			r.Sampling.RepetitionPenalty = 1.2
		}
		all = append(all, r)
	}
	var alone []Result
	e := engine(t, m, Options{MaxTokens: 128})
	for _, r := range all {
		out, err := e.Generate(context.Background(), []Request{r}, nil)
		if err != nil {
			t.Fatal(err)
		}
		alone = append(alone, out[0])
	}
	engines := map[string]*Engine{
		"roomy": engine(t, m, Options{MaxTokens: 256}),
		"tight": small(t, m, 13),
		"three": engine(t, m, Options{MaxTokens: 48, MaxSequences: 3}),
	}
	for batch := 2; batch <= len(all); batch++ {
		for how, e := range engines {
			out, err := e.Generate(context.Background(), all[:batch], nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range out {
				out[i].Cached = 0 // of all that a result says, this alone depends on others
				if fmt.Sprint(out[i]) != fmt.Sprint(alone[i]) {
					t.Fatalf("batch of %d (%s), sequence %d: %v, alone %v", batch, how, i, out[i], alone[i])
				}
			}
			if e.pool.Used() != 0 {
				t.Fatalf("%d cache blocks are still held", e.pool.Used())
			}
		}
	}
	if engines["tight"].stats.Preempted == 0 {
		t.Error("the small cache forced no sequence to start over, so that was not tested")
	}
}
