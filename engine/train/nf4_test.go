package train

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/lora"
	"dlm/engine/model"
	"dlm/engine/weights"
)

// tinyNF4 is the tiny llama quantised to NF4 as it is loaded.
func tinyNF4(t testing.TB, mode kernel.Mode, threads int) *model.Model {
	t.Helper()
	x, err := kernel.New(threads)
	if err != nil {
		t.Fatal(err)
	}
	ck, err := weights.Open(filepath.Join(tinyDir, "llama-tied"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ck.QuantizeNF4(); err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(ck, x, mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close(); ck.Close() })
	return m
}

// TestQLoRAGradients: in f32 mode the gradient through an NF4 base is that of
// central differences; in bf16 mode it is that of f32 mode but for rounding.
func TestQLoRAGradients(t *testing.T) {
	gradients := map[kernel.Mode][]float32{}
	for _, mode := range []kernel.Mode{kernel.F32, kernel.BF16} {
		m := tinyNF4(t, mode, 1)
		a := lora.New(m, lora.Config{Rank: 3, Alpha: 6}, 1)
		nr, err := newRunner(m, a, synthetic(4, m.Config().Vocab), nil, Config{BatchSize: 4, MaxSteps: 1, LR: 1, Schedule: "constant", Seed: 2, Packing: true})
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
		r.schedule.Peak = 0
		mustStep(t, r, 0)
		want := 0.0
		for i, p := range r.tensors {
			gradients[mode] = append(gradients[mode], p.Grad...)
			for j, d := range dir[i] {
				want += float64(p.Grad[j]) * float64(d)
			}
		}
		if mode == kernel.F32 {
			const h = 1e-3
			near := lossAt(t, r, dir, h) - lossAt(t, r, dir, -h)
			far := lossAt(t, r, dir, 2*h) - lossAt(t, r, dir, -2*h)
			if got := (8*near - far) / (12 * h); math.Abs(got-want) > 2e-3*math.Abs(want)+3e-3 {
				t.Errorf("the loss changes by %v along the direction, the gradient says %v", got, want)
			}
		}
	}
	var off, size float64
	for i, g := range gradients[kernel.F32] {
		d := float64(gradients[kernel.BF16][i]) - float64(g)
		off, size = off+d*d, size+float64(g)*float64(g)
	}
	t.Logf("bf16 mode's gradient differs from f32 mode's by %.3f of its norm", math.Sqrt(off/size))
	if size == 0 || off > 0.03*0.03*size {
		t.Errorf("gradients of norm %v differ by %v", math.Sqrt(size), math.Sqrt(off))
	}
}

// TestQLoRALearns: the loss falls, and is the same to the last bit with one thread
// and two.
func TestQLoRALearns(t *testing.T) {
	var first Result
	for threads := 1; threads <= 2; threads++ {
		m := tinyNF4(t, kernel.BF16, threads)
		a := lora.New(m, adapterConfig(), 3)
		cfg := recipe()
		cfg.MaxSteps = 12
		res, err := Run(context.Background(), m, a, synthetic(20, m.Config().Vocab), nil, cfg, t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if last := len(res.Losses) - 1; !(res.Losses[last] < 0.9*res.Losses[0]) {
			t.Errorf("losses %v do not fall", res.Losses)
		}
		if threads == 1 {
			first = res
		}
		for i, l := range res.Losses {
			if l != first.Losses[i] {
				t.Errorf("loss of step %d is %v with two threads, %v with one", i+1, l, first.Losses[i])
			}
		}
	}
}
