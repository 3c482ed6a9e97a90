package infer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"dlm/engine/kernel"
	"dlm/engine/model"
)

// decodeLoads are the batches that decoding is timed on: sequences at once, and
// how many different adapters (rank 16, all linear layers) they use in turns.
var decodeLoads = []struct{ batch, adapters int }{{1, 0}, {1, 1}, {8, 0}, {8, 4}, {32, 0}, {32, 1}, {32, 32}}

// BenchmarkDecode times steps of greedy decoding on the real model, without the
// prefill: positions 32 to 96 of each sequence.
func BenchmarkDecode(b *testing.B) {
	m := load(b, realModel(b), kernel.BF16, 0)
	var adapters []model.Adapter
	for i := range 32 {
		adapters = append(adapters, adapter(m, 16, uint64(i)))
	}
	for _, l := range decodeLoads {
		b.Run(fmt.Sprintf("batch=%d/adapters=%d", l.batch, l.adapters), func(b *testing.B) {
			e := engine(b, m, Options{})
			const tokens = 64
			var spent time.Duration
			best := time.Hour
			for range b.N {
				for i := range l.batch {
					r := Request{IDs: randomIDs(uint64(i), 32, m.Config().Vocab), MaxTokens: tokens + 2}
					if l.adapters > 0 {
						r.Adapter = adapters[i%l.adapters]
					}
					if _, err := e.Add(r, nil); err != nil {
						b.Fatal(err)
					}
				}
				for e.running = e.running[:0]; len(e.waiting) > 0 || e.running[0].done < 33; {
					step(b, e) // prefill, and a first decoded token
				}
				start := time.Now()
				for range tokens {
					step(b, e)
				}
				took := time.Since(start)
				spent += took
				best = min(best, took)
				for !e.Idle() {
					step(b, e)
				}
			}
			b.ReportMetric(float64(b.N*l.batch*tokens)/spent.Seconds(), "tokens/s")
			b.ReportMetric(float64(l.batch*tokens)/best.Seconds(), "best-tokens/s")
			b.ReportMetric(best.Seconds()*1e6/tokens, "best-us/step")
		})
	}
}

func step(tb testing.TB, e *Engine) {
	tb.Helper()
	if err := e.Step(); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkPrefill times scoring of whole prompts on the real model.
func BenchmarkPrefill(b *testing.B) {
	m := load(b, realModel(b), kernel.BF16, 0)
	e := engine(b, m, Options{})
	r := ScoreRequest{IDs: randomIDs(1, 513, m.Config().Vocab), From: 512}
	for range b.N {
		if _, err := e.Score(context.Background(), []ScoreRequest{r}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*512)/b.Elapsed().Seconds(), "tokens/s")
}
