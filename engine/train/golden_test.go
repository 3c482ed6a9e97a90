package train

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/weights"
)

// stepper prepares a run without a folder, for tests of single steps.
func stepper(t testing.TB, r *runner, err error) *runner {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	r.prepare(r.m.NewPass(r.plan.MicroTokens, r.adapter.Rank(), true))
	return r
}

// TestTinyAgainstPEFT: loss, every gradient's norm, four whole gradients, and
// three AdamW steps with clipping and decay, against PyTorch and PEFT in f32.
func TestTinyAgainstPEFT(t *testing.T) {
	for _, name := range tinyNames {
		t.Run(name, func(t *testing.T) {
			g, data := readSFT(t, name)
			m := tiny(t, name, kernel.F32, 1)
			a := loadAdapter(t, m, filepath.Join(tinyDir, name, "adapter"))
			s := g.SFT.AdamW
			nr, err := newRunner(m, a, data, nil, Config{BatchSize: len(data), MaxSteps: 3, LR: s.LR, Schedule: "constant",
				WeightDecay: s.Decay, ClipNorm: s.Clip, Packing: true})
			r := stepper(t, nr, err)
			if r.plan.LossTokens != 3*g.SFT.LossTokens {
				t.Errorf("%d tokens in the loss a step, golden %d", r.plan.LossTokens/3, g.SFT.LossTokens)
			}
			// The first step without clipping, for its gradients.
			r.cfg.ClipNorm = 0
			lr := r.schedule
			r.schedule.Peak = 0
			res := mustStep(t, r, 0)
			if d := math.Abs(res.loss - g.SFT.LossF64); d > 2e-5 {
				t.Errorf("loss %v, golden %v", res.loss, g.SFT.LossF64)
			}
			checkGradients(t, r, g.SFT.GradNormF64, filepath.Join(tinyDir, name, "golden.safetensors"), 2e-5)

			a = loadAdapter(t, m, filepath.Join(tinyDir, name, "adapter"))
			nr, err = newRunner(m, a, data, nil, r.cfg)
			r = stepper(t, nr, err)
			r.cfg.ClipNorm, r.schedule = s.Clip, lr
			for i, want := range s.Losses {
				res := mustStep(t, r, i)
				if d := math.Abs(res.loss - want); d > 1e-4 {
					t.Errorf("step %d: loss %v, golden %v", i, res.loss, want)
				}
				if d := math.Abs(res.norm-s.Norms[i]) / s.Norms[i]; d > 2e-4 {
					t.Errorf("step %d: gradient norm %v, golden %v", i, res.norm, s.Norms[i])
				}
			}
			for _, p := range r.tensors {
				if got, want := norm(p.Value), s.ValueNorms[p.Name]; math.Abs(got-want) > 1e-4*want {
					t.Errorf("%s after three steps has norm %v, golden %v", p.Name, got, want)
				}
			}
		})
	}
}

func mustStep(t testing.TB, r *runner, s int) stepResult {
	t.Helper()
	res, err := r.step(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func norm(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// checkGradients compares the gradients of the last step with goldens: norms of
// all tensors, and every element of those that the file holds as grad/NAME. tol
// is relative: to the norm, and to the tensor's largest element.
func checkGradients(t *testing.T, r *runner, norms map[string]float64, file string, tol float64) {
	t.Helper()
	if len(norms) != len(r.tensors) {
		t.Errorf("golden norms of %d tensors, the adapter has %d", len(norms), len(r.tensors))
	}
	worst := 0.0
	for _, p := range r.tensors {
		want, ok := norms[p.Name]
		if !ok {
			t.Errorf("no golden for %s", p.Name)
			continue
		}
		d := math.Abs(norm(p.Grad)-want) / want
		worst = max(worst, d)
		if d > tol {
			t.Errorf("%s: gradient norm %v, golden %v (relative difference %.2g)", p.Name, norm(p.Grad), want, d)
		}
	}
	t.Logf("largest relative difference of %d gradient norms: %.2g", len(norms), worst)
	f, err := weights.OpenSafetensors(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	compared := 0
	for _, p := range r.adapter.Params() {
		g, err := f.Tensor("grad/" + p.Name)
		if err != nil {
			continue
		}
		compared++
		worst, largest := 0.0, 0.0
		row := make([]float32, p.Shape[1])
		for i := range p.Shape[0] {
			g.RowF32(i, row)
			for c, want := range row {
				got := p.Grad[i*p.Shape[1]+c]
				if p.Transposed {
					got = p.Grad[c*p.Shape[0]+i]
				}
				worst, largest = max(worst, math.Abs(float64(got-want))), max(largest, math.Abs(float64(want)))
			}
		}
		t.Logf("%s: largest difference %.2g of largest element %.3g", p.Name, worst, largest)
		if worst > tol*largest {
			t.Errorf("%s: gradient differs by %v; its largest element is %v", p.Name, worst, largest)
		}
	}
	want := 4
	if r.m.Config().QKNorm {
		want = 7 // all of layer 0's q and k too
	}
	if compared != want {
		t.Errorf("compared %d whole gradients, expected %d", compared, want)
	}
}
