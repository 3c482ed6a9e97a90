package infer

import (
	"context"
	"fmt"
	"testing"

	"dlm/engine/kernel"
)

// BenchmarkDecode times greedy decoding on the real model, for batches.
func BenchmarkDecode(b *testing.B) {
	m := load(b, realModel(b), kernel.BF16, 0)
	for _, batch := range []int{1, 8} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			e := engine(b, m, Options{})
			const tokens = 64
			var reqs []Request
			for i := range batch {
				reqs = append(reqs, Request{IDs: randomIDs(uint64(i), 32, m.Config().Vocab), MaxTokens: tokens})
			}
			for range b.N {
				if _, err := e.Generate(context.Background(), reqs, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*batch*tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
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
