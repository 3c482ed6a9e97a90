package train

import (
	"os"
	"runtime/pprof"
	"testing"
	"time"

	"dlm/engine/kernel"
	"dlm/engine/lora"
	"dlm/engine/model"
)

// benchRows makes random rows of n tokens, all in the loss.
func benchRows(vocab, rows, n int) []Example {
	data := make([]Example, rows)
	for i := range data {
		e := &data[i]
		e.ID = "x"
		for t := range n {
			e.IDs = append(e.IDs, int32(mix(uint64(i*n+t))%uint64(vocab)))
			e.Mask = append(e.Mask, t > 0)
		}
	}
	return data
}

// stepsOf returns a function that makes one optimiser step of the real base on
// rows x n tokens.
func stepsOf(b *testing.B, rows, n int) (step func()) {
	m := loadBase(b, realBase(b), kernel.BF16, 0)
	a := lora.New(m, lora.Config{Rank: 16, Alpha: 32}, 1)
	nr, err := newRunner(m, a, benchRows(m.Config().Vocab, rows, n), nil,
		Config{BatchSize: rows, MaxSteps: 1, LR: 1e-4, Schedule: "constant", Packing: true, MicroTokens: rows * n})
	r := stepper(b, nr, err)
	return func() { mustStep(b, r, 0) }
}

// prefillOf returns a function that runs n tokens of the real base through a
// pass that does not train, and their last row through the head.
func prefillOf(b *testing.B, n int) (step func()) {
	m := loadBase(b, realBase(b), kernel.BF16, 0)
	p := m.NewPass(n, 0, false)
	segs := []model.Segment{{IDs: benchRows(m.Config().Vocab, 1, n)[0].IDs}}
	logits := make([]float32, m.Config().Vocab)
	return func() {
		if err := p.Forward(segs); err != nil {
			b.Fatal(err)
		}
		p.Logits(logits, n-1)
	}
}

// BenchmarkStep times whole optimiser steps, and prefill beside them, and reports
// tokens a second: on average and in the fastest iteration. With DLM_PROFILE it
// writes a CPU profile of the measured iterations there (bench/profile reads it).
func BenchmarkStep(b *testing.B) {
	for _, s := range []struct {
		name    string
		rows, n int
	}{{"train-4x512", 4, 512}, {"train-1x256", 1, 256}, {"prefill-1x512", 0, 512}} {
		b.Run(s.name, func(b *testing.B) {
			var step func()
			if s.rows > 0 {
				step = stepsOf(b, s.rows, s.n)
			} else {
				step = prefillOf(b, s.n)
			}
			step() // memory is touched for the first time
			defer profile(b)()
			b.ReportAllocs()
			b.ResetTimer()
			best := time.Hour
			for range b.N {
				start := time.Now()
				step()
				best = min(best, time.Since(start))
			}
			tokens := float64(max(s.rows, 1) * s.n)
			b.ReportMetric(tokens*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
			b.ReportMetric(tokens/best.Seconds(), "best-tokens/s")
		})
	}
}

// profile starts the CPU profile, if one is wanted, and returns what ends it.
func profile(b *testing.B) func() {
	name := os.Getenv("DLM_PROFILE")
	if name == "" {
		return func() {}
	}
	f, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
