package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/lora"
)

// recipe is a short run with everything in it that could break equality.
func recipe() Config {
	return Config{BatchSize: 8, MaxSteps: 5, LR: 2e-2, Schedule: "cosine", Warmup: 1, WeightDecay: 0.01, ClipNorm: 1,
		Seed: 5, Shuffle: true, Packing: true, MaxLen: 64, EvalEvery: 2, SaveEvery: 1, KeepBest: false}
}

// adapterConfig drops, so that dropout masks are part of every equality.
func adapterConfig() lora.Config { return lora.Config{Rank: 4, Alpha: 8, Dropout: 0.1} }

// train runs cfg on a tiny base from the start and returns the adapter.
func train(t *testing.T, mode kernel.Mode, threads int, cfg Config) (*lora.Adapter, Result) {
	t.Helper()
	m := tiny(t, "llama-tied", mode, threads)
	a := lora.New(m, adapterConfig(), 3)
	res, err := Run(context.Background(), m, a, synthetic(20, m.Config().Vocab), synthetic(3, m.Config().Vocab), cfg, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a, res
}

// TestAdapterBytesDoNotDependOnTheWay is engine law 6: however a step is cut,
// whatever the number of threads, the adapter is the same to the last bit.
func TestAdapterBytesDoNotDependOnTheWay(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			a, res := train(t, mode, 1, recipe())
			want := valueHash(a)
			if res.Losses[4] >= res.Losses[0] {
				t.Errorf("losses %v: nothing was learnt, so equality says little", res.Losses)
			}
			for _, way := range []struct {
				name    string
				threads int
				change  func(*Config)
			}{
				{"8 micro-batches of 1", 1, func(c *Config) { c.MicroBatch = 1 }},
				{"1 micro-batch of 8", 1, func(c *Config) { c.MicroBatch = 8 }},
				{"3 examples a pass", 1, func(c *Config) { c.MicroBatch = 3 }},
				{"at most 40 tokens a pass", 1, func(c *Config) { c.MicroTokens = 40 }},
				{"unpacked", 1, func(c *Config) { c.Packing = false }},
				{"2 threads", 2, func(*Config) {}},
				{"2 threads, unpacked", 2, func(c *Config) { c.Packing = false }},
			} {
				cfg := recipe()
				way.change(&cfg)
				b, resB := train(t, mode, way.threads, cfg)
				if valueHash(b) != want {
					t.Errorf("%s: another adapter", way.name)
				}
				for i := range res.Losses {
					if res.Losses[i] != resB.Losses[i] {
						t.Errorf("%s: loss of step %d is %v, not %v", way.name, i+1, resB.Losses[i], res.Losses[i])
					}
				}
				for i := range res.Evals {
					if res.Evals[i] != resB.Evals[i] {
						t.Errorf("%s: evaluation %v, not %v", way.name, resB.Evals[i], res.Evals[i])
					}
				}
			}
			for setting, change := range map[string]func(*Config){
				"seed": func(c *Config) { c.Seed++ }, "lr": func(c *Config) { c.LR *= 1.001 }, "batch size": func(c *Config) { c.BatchSize = 7 },
			} {
				cfg := recipe()
				change(&cfg)
				if b, _ := train(t, mode, 1, cfg); valueHash(b) == want {
					t.Errorf("another %s gives the same adapter", setting)
				}
			}
		})
	}
}

// TestGradientAgainstFiniteDifferences moves every trained value at once along a
// random direction and compares the change of the loss with the gradient, with
// and without dropout, whose masks must be the same in both passes.
func TestGradientAgainstFiniteDifferences(t *testing.T) {
	for _, name := range tinyNames {
		for _, dropout := range []float64{0, 0.25} {
			t.Run(fmt.Sprintf("%s dropout %v", name, dropout), func(t *testing.T) {
				m := tiny(t, name, kernel.F32, 1)
				a := lora.New(m, lora.Config{Rank: 3, Alpha: 6, Dropout: dropout, RSLoRA: true}, 1)
				data := synthetic(4, m.Config().Vocab)
				nr, err := newRunner(m, a, data, nil, Config{BatchSize: 4, MaxSteps: 1, LR: 1, Schedule: "constant", Seed: 2, Packing: true})
				r := stepper(t, nr, err)
				rng := rand.New(rand.NewPCG(4, 4))
				var dir [][]float32
				for _, p := range r.tensors {
					d := make([]float32, len(p.Value))
					for i := range d {
						d[i] = float32(rng.NormFloat64())
						p.Value[i] += float32(rng.NormFloat64()) * 0.05 // B would be zero
					}
					dir = append(dir, d)
				}
				a.Repack(r.exec)
				// A step with learning rate 0 leaves the values and fills the gradients.
				r.schedule.Peak = 0
				mustStep(t, r, 0)
				want := 0.0
				for i, p := range r.tensors {
					for j, d := range dir[i] {
						want += float64(p.Grad[j]) * float64(d)
					}
				}
				const h = 1e-3 // the stencil of five points: its error falls with h⁴
				near := lossAt(t, r, dir, h) - lossAt(t, r, dir, -h)
				far := lossAt(t, r, dir, 2*h) - lossAt(t, r, dir, -2*h)
				got := (8*near - far) / (12 * h)
				if math.Abs(got-want) > 2e-3*math.Abs(want)+3e-3 {
					t.Errorf("the loss changes by %v along the direction, the gradient says %v", got, want)
				}
				t.Logf("central difference %v, gradient %v", got, want)
			})
		}
	}
}

// lossAt returns the loss of step 0 with the values moved by h along dir.
func lossAt(t *testing.T, r *runner, dir [][]float32, h float32) float64 {
	t.Helper()
	var kept [][]float32
	for i, p := range r.tensors {
		kept = append(kept, append([]float32(nil), p.Value...))
		for j, d := range dir[i] {
			p.Value[j] += h * d
		}
	}
	r.adapter.Repack(r.exec)
	res := mustStep(t, r, 0)
	for i, p := range r.tensors {
		copy(p.Value, kept[i])
	}
	r.adapter.Repack(r.exec)
	return res.loss
}
