package infer

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"dlm/engine/kernel"
	"dlm/engine/model"
)

// decodeLoads are the batches that decoding is timed on: sequences at once, and
// how many different adapters (rank 16, all linear layers) they use in turns.
var decodeLoads = []struct{ batch, adapters int }{{1, 0}, {1, 1}, {8, 0}, {8, 4}, {32, 0}, {32, 1}, {32, 32}}

// decodeTokens is the number of steps that a round of decoding times.
const decodeTokens = 64

// BenchmarkDecode times steps of greedy decoding on the real model, without the
// prefill: positions 32 to 96 of each sequence.
func BenchmarkDecode(b *testing.B) {
	m := load(b, realModel(b), kernel.BF16, 0)
	adapters := manyAdapters(m)
	for _, l := range decodeLoads {
		b.Run(fmt.Sprintf("batch=%d/adapters=%d", l.batch, l.adapters), func(b *testing.B) {
			e := engine(b, m, Options{})
			var spent time.Duration
			best := time.Hour
			for range b.N {
				took := decodeRound(b, e, m, l.batch, adapters[:l.adapters])
				spent += took
				best = min(best, took)
			}
			tokens := float64(l.batch * decodeTokens)
			b.ReportMetric(float64(b.N)*tokens/spent.Seconds(), "tokens/s")
			b.ReportMetric(tokens/best.Seconds(), "best-tokens/s")
			b.ReportMetric(best.Seconds()*1e6/decodeTokens, "best-us/step")
		})
	}
}

// BenchmarkAdapters compares decoding with adapters and without in turns: on a
// machine with other work only a pair of neighbours can be compared.
func BenchmarkAdapters(b *testing.B) {
	m := load(b, realModel(b), kernel.BF16, 0)
	adapters := manyAdapters(m)
	for _, l := range decodeLoads {
		if l.adapters == 0 {
			continue
		}
		b.Run(fmt.Sprintf("batch=%d/adapters=%d", l.batch, l.adapters), func(b *testing.B) {
			e := engine(b, m, Options{})
			var shares []float64
			for range b.N {
				without := decodeRound(b, e, m, l.batch, nil)
				with := decodeRound(b, e, m, l.batch, adapters[:l.adapters])
				shares = append(shares, float64(without)/float64(with))
			}
			slices.Sort(shares)
			b.ReportMetric(100*shares[len(shares)/2], "median-%-of-base")
		})
	}
}

func manyAdapters(m *model.Model) (as []model.Adapter) {
	for i := range 32 {
		as = append(as, adapter(m, 16, uint64(i)))
	}
	return as
}

// decodeRound decodes with the adapters in turns and returns the time of decodeTokens steps.
func decodeRound(b *testing.B, e *Engine, m *model.Model, batch int, adapters []model.Adapter) time.Duration {
	b.Helper()
	for i := range batch {
		r := Request{IDs: randomIDs(uint64(i), 32, m.Config().Vocab), MaxTokens: decodeTokens + 2}
		if len(adapters) > 0 {
			r.Adapter = adapters[i%len(adapters)]
		}
		if _, err := e.Add(r, nil); err != nil {
			b.Fatal(err)
		}
	}
	for len(e.waiting) > 0 || e.running[0].done < 33 {
		step(b, e) // prefill, and a first decoded token
	}
	start := time.Now()
	for range decodeTokens {
		step(b, e)
	}
	took := time.Since(start)
	for !e.Idle() {
		step(b, e)
	}
	return took
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
