package infer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"dlm/engine/kernel"
)

// BenchmarkBudget times the steps of eight streams on the real model beside prompts
// of 1,000 tokens that never end, with a target for each step and without.
func BenchmarkBudget(b *testing.B) {
	m := load(b, realModel(b), kernel.BF16, 0)
	for _, target := range []time.Duration{0, 100 * time.Millisecond, 50 * time.Millisecond, 20 * time.Millisecond} {
		b.Run(fmt.Sprint("target=", target), func(b *testing.B) {
			e := engine(b, m, Options{NoPrefixes: true})
			budget := NewBudget(target, e.o.MaxTokens)
			var took []time.Duration
			prompts, seed := 0, 0
			for range b.N {
				begin(b, e, m, 8, nil)
				for range decodeTokens - 4 {
					if len(e.running) == 8 && e.tenants.waiting == 0 {
						seed++
						if _, err := e.Add(Request{IDs: randomIDs(uint64(seed), 1000, m.Config().Vocab), MaxTokens: 1}, nil); err != nil {
							b.Fatal(err)
						}
					}
					e.SetPrefillRows(budget.Rows())
					start := time.Now()
					step(b, e)
					took = append(took, time.Since(start))
					budget.Observe(e.LastStep(), took[len(took)-1])
					prompts += e.LastStep().Prefill
				}
				untilIdle(b, e)
			}
			slices.Sort(took)
			all := time.Duration(0)
			for _, d := range took {
				all += d
			}
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1e3, "p99-ms")
			b.ReportMetric(float64(prompts)/all.Seconds(), "prompt-tokens/s")
			b.ReportMetric(float64(8*len(took))/all.Seconds(), "tokens/s")
		})
	}
}
