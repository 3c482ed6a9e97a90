package train

import (
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/lora"
)

// BenchmarkStep times whole optimiser steps of the real base on 4 rows of 512
// tokens, all in the loss, and reports tokens a second.
func BenchmarkStep(b *testing.B) {
	m := loadBase(b, realBase(b), kernel.BF16, 0)
	a := lora.New(m, lora.Config{Rank: 16, Alpha: 32}, 1)
	var data []Example
	for i := range 4 {
		e := Example{ID: "x"}
		for t := range 512 {
			e.IDs = append(e.IDs, int32(mix(uint64(i*512+t))%uint64(m.Config().Vocab)))
			e.Mask = append(e.Mask, t > 0)
		}
		data = append(data, e)
	}
	nr, err := newRunner(m, a, data, nil, Config{BatchSize: 4, MaxSteps: 1, LR: 1e-4, Schedule: "constant", Packing: true, MicroTokens: 2048})
	r := stepper(b, nr, err)
	mustStep(b, r, 0)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		mustStep(b, r, 0)
	}
	b.ReportMetric(float64(2048*b.N)/b.Elapsed().Seconds(), "tokens/s")
}
