package native

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"dlm/engine/infer"
	"dlm/engine/kv"
	"dlm/engine/lora"
	"dlm/engine/model"
)

// InferBench is the shape of a benchmark of the engine that serves: greedy
// completions of random prompts, no stop.
type InferBench struct {
	Batch    int // sequences at once
	Prompt   int // tokens of each prompt
	Tokens   int // of each completion
	Adapters int // random adapters over all projections, dealt out to the sequences in turn; 0: the base itself
	Rank     int // of the adapters
	Reps     int // calls that are timed, after one that is not
}

// check refuses a shape that cannot be measured.
func (b InferBench) check(context int) error {
	switch {
	case b.Batch < 1 || b.Prompt < 1 || b.Tokens < 1 || b.Reps < 1 || b.Adapters < 0:
		return fmt.Errorf("batch %d, prompt %d, tokens %d, reps %d, adapters %d: each must be at least 1 (adapters 0)", b.Batch, b.Prompt, b.Tokens, b.Reps, b.Adapters)
	case b.Adapters > 0 && (b.Rank < 1 || b.Rank > lora.MaxRank):
		return fmt.Errorf("rank %d: expected 1 to %d", b.Rank, lora.MaxRank)
	case b.Adapters > b.Batch:
		return fmt.Errorf("%d adapters but %d sequences: each adapter needs a sequence of its own; raise batch", b.Adapters, b.Batch)
	case b.Prompt+b.Tokens > context:
		return fmt.Errorf("prompt %d and tokens %d are more than the base's context of %d", b.Prompt, b.Tokens, context)
	}
	return nil
}

func (b InferBench) shape() map[string]int {
	return map[string]int{"batch": b.Batch, "prompt": b.Prompt, "tokens": b.Tokens, "adapters": b.Adapters, "rank": b.Rank, "reps": b.Reps}
}

// PrefillBenchResult are the figures of prompts computed together.
type PrefillBenchResult struct {
	TokensPerSecond float64        `json:"tokens_per_second"` // of prompts, median of the calls
	Runs            []float64      `json:"runs"`              // the same, call by call
	CallSeconds     []float64      `json:"call_seconds"`      // from the request to the first token of the last prompt
	PeakRSS         int64          `json:"peak_rss_bytes"`
	Kernels         string         `json:"kernels"`
	Threads         int            `json:"threads"`
	Shape           map[string]int `json:"shape"`
}

// BenchPrefill times calls that read Batch prompts and make one token of each,
// through the engine that serves.
func (n *Native) BenchPrefill(ctx context.Context, b InferBench) (PrefillBenchResult, error) {
	b.Tokens = 1
	r := PrefillBenchResult{Kernels: n.Kernels(), Threads: n.Threads(), Shape: b.shape()}
	delete(r.Shape, "tokens")
	err := n.benchCalls(ctx, b, func(c benchCall) {
		r.CallSeconds = append(r.CallSeconds, c.wall)
		r.Runs = append(r.Runs, float64(b.Batch*b.Prompt)/c.wall)
	})
	r.PeakRSS = PeakBytes()
	r.TokensPerSecond = median(r.Runs)
	return r, err
}

// DecodeBenchResult are the figures of completions made together.
type DecodeBenchResult struct {
	TokensPerSecond      float64            `json:"tokens_per_second"`       // all sequences together while all of them decode, median of the calls
	WholeTokensPerSecond float64            `json:"whole_tokens_per_second"` // completions over the time of the call, prompts included, median
	Runs                 []float64          `json:"runs"`                    // tokens_per_second, call by call
	WholeRuns            []float64          `json:"whole_runs"`
	CallSeconds          []float64          `json:"call_seconds"`
	FirstTokenMS         float64            `json:"first_token_ms"` // from the request to the first token of the last sequence, median
	TokenMS              map[string]float64 `json:"token_ms"`       // time from a sequence's token to its next: p50, p90, p99, max
	PeakRSS              int64              `json:"peak_rss_bytes"`
	Kernels              string             `json:"kernels"`
	Threads              int                `json:"threads"`
	Shape                map[string]int     `json:"shape"`
}

// BenchDecode times completions through the engine that serves.
func (n *Native) BenchDecode(ctx context.Context, b InferBench) (DecodeBenchResult, error) {
	r := DecodeBenchResult{Kernels: n.Kernels(), Threads: n.Threads(), Shape: b.shape()}
	if b.Tokens < 2 {
		return r, fmt.Errorf("tokens %d: expected at least 2, the first belongs to the prompt", b.Tokens)
	}
	var first, gaps []float64
	err := n.benchCalls(ctx, b, func(c benchCall) {
		r.CallSeconds = append(r.CallSeconds, c.wall)
		r.WholeRuns = append(r.WholeRuns, float64(b.Batch*b.Tokens)/c.wall)
		from, to, made := c.window()
		r.Runs = append(r.Runs, float64(made)/(to-from))
		first = append(first, from*1e3)
		gaps = c.gaps(gaps, from, to)
	})
	if err != nil {
		return r, err
	}
	r.TokensPerSecond, r.WholeTokensPerSecond, r.FirstTokenMS = median(r.Runs), median(r.WholeRuns), median(first)
	slices.Sort(gaps)
	r.TokenMS = map[string]float64{"p50": quantile(gaps, 0.5), "p90": quantile(gaps, 0.9), "p99": quantile(gaps, 0.99), "max": gaps[len(gaps)-1]}
	r.PeakRSS = PeakBytes()
	return r, nil
}

// benchCalls makes one call that warms up and b.Reps that are handed to each.
func (n *Native) benchCalls(ctx context.Context, b InferBench, each func(benchCall)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.m.Config()
	if err := b.check(c.MaxSeq); err != nil {
		return err
	}
	shape := kv.Shape{Layers: c.Layers, KVHeads: c.KVHeads, HeadDim: c.HeadDim, Mode: n.m.Mode()}
	e, err := infer.New(n.m, n.tok, infer.Options{
		MaxTokens: n.o.MaxTokens, PrefillChunk: n.o.PrefillChunk, MaxSequences: b.Batch,
		CacheBytes: int64(b.Batch*kv.BlocksFor(b.Prompt+b.Tokens)) * shape.BlockBytes(),
	})
	if err != nil {
		return err
	}
	adapters := []model.Adapter{nil}
	if b.Adapters > 0 {
		adapters = adapters[:0]
	}
	for i := range b.Adapters {
		adapters = append(adapters, n.randomAdapter(b.Rank, uint64(i+1)).Served())
	}
	for rep := range b.Reps + 1 {
		reqs := make([]infer.Request, b.Batch)
		for i := range reqs {
			reqs[i] = infer.Request{IDs: benchIDs(uint64(rep*b.Batch+i), b.Prompt, c.Vocab), MaxTokens: b.Tokens, Adapter: adapters[i%len(adapters)]}
		}
		call, err := runCall(ctx, e, reqs)
		if err != nil {
			return err
		}
		if rep > 0 {
			each(call)
		}
	}
	return nil
}

// benchCall is when the tokens of a call came, in seconds from its start.
type benchCall struct {
	wall  float64
	times [][]float64 // [sequence][token]
}

func runCall(ctx context.Context, e *infer.Engine, reqs []infer.Request) (benchCall, error) {
	c := benchCall{times: make([][]float64, len(reqs))}
	for i, r := range reqs {
		c.times[i] = make([]float64, 0, r.MaxTokens)
	}
	start := time.Now()
	_, err := e.Generate(ctx, reqs, func(i int, _ infer.Token) {
		c.times[i] = append(c.times[i], time.Since(start).Seconds())
	})
	c.wall = time.Since(start).Seconds()
	return c, err
}

// window is the time in which every sequence decodes, from the last first token
// to the first last token, and the number of tokens made in it.
func (c benchCall) window() (from, to float64, made int) {
	to = math.Inf(1)
	for _, t := range c.times {
		from, to = max(from, t[0]), min(to, t[len(t)-1])
	}
	if to <= from { // the first sequence was done before the last began
		to = c.wall
	}
	for _, t := range c.times {
		for _, at := range t {
			if at > from && at <= to {
				made++
			}
		}
	}
	return from, to, made
}

// gaps appends the milliseconds between tokens of a sequence inside the window.
func (c benchCall) gaps(to []float64, from, end float64) []float64 {
	for _, t := range c.times {
		for j := 1; j < len(t); j++ {
			if t[j-1] >= from && t[j] <= end {
				to = append(to, (t[j]-t[j-1])*1e3)
			}
		}
	}
	return to
}

// randomAdapter is an adapter whose both matrices are drawn from seed, so that
// nothing about it can be skipped.
func (n *Native) randomAdapter(rank int, seed uint64) *lora.Adapter {
	a := lora.New(n.m, lora.Config{Rank: rank, Alpha: 2 * float64(rank), Modules: lora.AllModules()}, seed)
	state := seed
	for _, p := range a.Params() {
		if !p.Transposed {
			continue
		}
		for i := range p.Value {
			state = step(state)
			p.Value[i] = (float32(state>>40)/(1<<24) - 0.5) * 0.02
		}
	}
	a.Repack(n.x)
	return a
}

// benchIDs are the ids of prompt i: bench/measured.py draws the same.
func benchIDs(i uint64, tokens, vocab int) []int32 {
	state, ids, skip := i+1, make([]int32, tokens), 256
	if vocab <= skip {
		skip = 0
	}
	for j := range ids {
		state = step(state)
		ids[j] = int32(state>>33%uint64(vocab-skip)) + int32(skip)
	}
	return ids
}

// step is Knuth's MMIX generator.
func step(state uint64) uint64 { return state*6364136223846793005 + 1442695040888963407 }

// median of a list that is left as it is, 0 for none.
func median(list []float64) float64 { return quantile(slices.Sorted(slices.Values(list)), 0.5) }

// quantile of a sorted list by linear interpolation, 0 for none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	lo := int(at)
	hi := min(lo+1, len(sorted)-1)
	return sorted[lo] + (sorted[hi]-sorted[lo])*(at-float64(lo))
}
