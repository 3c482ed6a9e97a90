package optim

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"dlm/engine/kernel"
)

type golden struct {
	AdamW []struct {
		WeightDecay float64       `json:"weight_decay"`
		MaxNorm     float64       `json:"max_norm"`
		LR          []float64     `json:"lr"`
		Start       [][]float32   `json:"start"`
		Grad        [][][]float32 `json:"grad"`
		Norm        []float64     `json:"norm"`
		Value       [][][]float32 `json:"value"`
	} `json:"adamw"`
	Schedules []struct {
		Kind          string
		Peak          float64
		Warmup, Total int
		LR            []float64
	} `json:"schedules"`
}

func readGolden(t *testing.T) golden {
	t.Helper()
	raw, err := os.ReadFile("testdata/torch.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestAdamWAgainstTorch follows PyTorch's parameters step by step. PyTorch's
// vector code fuses some products, so a few units in the last place of the
// update are allowed, nothing more.
func TestAdamWAgainstTorch(t *testing.T) {
	for _, g := range readGolden(t).AdamW {
		t.Run(fmt.Sprintf("decay %v", g.WeightDecay), func(t *testing.T) {
			ts := make([]Tensor, len(g.Start))
			for i, s := range g.Start {
				ts[i] = Tensor{Value: append([]float32(nil), s...), Grad: make([]float32, len(s))}
			}
			cfg := DefaultAdamW()
			cfg.WeightDecay = g.WeightDecay
			opt, norm := NewAdamW(ts, cfg, execOf(t, 1)), NewNorm(ts, nil)
			for step := range g.LR {
				for i := range ts {
					copy(ts[i].Grad, g.Grad[step][i])
				}
				if g.MaxNorm > 0 {
					total := norm.Total()
					if d := math.Abs(total-g.Norm[step]) / g.Norm[step]; d > 1e-6 {
						t.Errorf("step %d: norm %v, torch has %v", step, total, g.Norm[step])
					}
					norm.Clip(total, g.MaxNorm)
				}
				opt.Update(g.LR[step])
				for i := range ts {
					for j, want := range g.Value[step][i] {
						got := ts[i].Value[j]
						if d := math.Abs(float64(got - want)); d > 2e-9+1.2e-7*math.Abs(float64(want)) {
							t.Fatalf("step %d tensor %d element %d: %v, torch has %v (differs by %.3g)", step, i, j, got, want, d)
						}
					}
				}
			}
		})
	}
}

// TestAdamWAgainstFloat64 checks the float32 update against the formula in
// float64, over more steps and several scales of gradient.
func TestAdamWAgainstFloat64(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const n = 200
	ts := []Tensor{{Name: "x", Value: make([]float32, n), Grad: make([]float32, n)}}
	p, m, v := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range p {
		ts[0].Value[i] = float32(r.NormFloat64())
		p[i] = float64(ts[0].Value[i])
	}
	cfg := AdamWConfig{Beta1: 0.8, Beta2: 0.95, Eps: 1e-6, WeightDecay: 0.05}
	opt := NewAdamW(ts, cfg, execOf(t, 1))
	for step := 1; step <= 50; step++ {
		lr := 1e-2 / float64(step)
		for i := range p {
			ts[0].Grad[i] = float32(r.NormFloat64() * math.Pow(10, float64(i%9)-6))
			g := float64(ts[0].Grad[i])
			p[i] *= 1 - lr*cfg.WeightDecay
			m[i] = cfg.Beta1*m[i] + (1-cfg.Beta1)*g
			v[i] = cfg.Beta2*v[i] + (1-cfg.Beta2)*g*g
			mh, vh := m[i]/(1-math.Pow(cfg.Beta1, float64(step))), v[i]/(1-math.Pow(cfg.Beta2, float64(step)))
			p[i] -= lr * mh / (math.Sqrt(vh) + cfg.Eps)
		}
		opt.Update(lr)
	}
	for i := range p {
		if d := math.Abs(p[i] - float64(ts[0].Value[i])); d > 2e-6 {
			t.Errorf("element %d: %v, float64 has %v", i, ts[0].Value[i], p[i])
		}
	}
	if opt.Steps() != 50 {
		t.Errorf("Steps() = %d, want 50", opt.Steps())
	}
}

func TestSchedulesAgainstTransformers(t *testing.T) {
	for _, g := range readGolden(t).Schedules {
		s := Schedule{Kind: g.Kind, Peak: g.Peak, Warmup: g.Warmup, Total: g.Total}
		for step, want := range g.LR {
			if got := s.LR(step); math.Abs(got-want) > 1e-18 {
				t.Errorf("%+v step %d: %v, transformers has %v", s, step, got, want)
			}
		}
	}
}

func TestScheduleRefusesNonsense(t *testing.T) {
	for _, s := range []Schedule{
		{Kind: "step", Peak: 1}, {Kind: "cosine", Peak: 0}, {Kind: "cosine", Peak: math.NaN()},
		{Kind: "linear", Peak: math.Inf(1)}, {Kind: "linear", Peak: 1, Warmup: -1},
	} {
		if s.Validate() == nil {
			t.Errorf("%+v was accepted", s)
		}
	}
	if err := (Schedule{Kind: "linear", Peak: 1e-4, Warmup: 3, Total: 2}).Validate(); err != nil {
		t.Error(err)
	}
}

// threaded runs every task in a goroutine of its own, in no fixed order.
func threaded(tasks int, f func(task, worker int)) {
	var wg sync.WaitGroup
	for i := range tasks {
		wg.Go(func() { f(i, i) })
	}
	wg.Wait()
}

// execOf returns kernels on that many threads.
func execOf(t testing.TB, threads int) *kernel.Exec {
	t.Helper()
	x, err := kernel.New(threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

// TestThreadsChangeNothing: norm, clipping and update give the same bits
// whatever runs the tasks (engine law 6).
func TestThreadsChangeNothing(t *testing.T) {
	build := func(run Runner, threads int) ([]Tensor, *AdamW, *Norm) {
		r := rand.New(rand.NewPCG(7, 7))
		var ts []Tensor
		for i := range 20 {
			x := Tensor{Value: make([]float32, 50+i), Grad: make([]float32, 50+i)}
			for j := range x.Value {
				x.Value[j], x.Grad[j] = float32(r.NormFloat64()), float32(r.NormFloat64())
			}
			ts = append(ts, x)
		}
		return ts, NewAdamW(ts, DefaultAdamW(), execOf(t, threads)), NewNorm(ts, run)
	}
	a, oa, na := build(Serial, 1)
	b, ob, nb := build(threaded, 2)
	if na.Total() != nb.Total() {
		t.Fatal("norms differ")
	}
	na.Clip(na.Total(), 0.5)
	nb.Clip(nb.Total(), 0.5)
	oa.Update(1e-3)
	ob.Update(1e-3)
	for i := range a {
		for j := range a[i].Value {
			if math.Float32bits(a[i].Value[j]) != math.Float32bits(b[i].Value[j]) {
				t.Fatalf("tensor %d element %d differs", i, j)
			}
		}
	}
	if got := na.Total(); math.Abs(got-0.5) > 1e-5 {
		t.Errorf("norm after clipping to 0.5 is %v", got)
	}
}

func TestUpdateDoesNotAllocate(t *testing.T) {
	ts := []Tensor{{Value: make([]float32, 64), Grad: make([]float32, 64)}}
	opt, norm := NewAdamW(ts, DefaultAdamW(), execOf(t, 1)), NewNorm(ts, nil)
	if n := testing.AllocsPerRun(10, func() { norm.Clip(norm.Total(), 1); opt.Update(1e-3) }); n != 0 {
		t.Errorf("a step allocates %v times", n)
	}
}

// TestClipIsTorchsFormula at norms where the 1e-6 in it shows.
func TestClipIsTorchsFormula(t *testing.T) {
	ts := []Tensor{{Value: []float32{0, 0}, Grad: []float32{3e-6, 4e-6}}}
	n := NewNorm(ts, nil)
	total := n.Total()
	if math.Abs(total-5e-6) > 1e-12 || n.Of(0) != total {
		t.Fatalf("norm %v, want 5e-6", total)
	}
	if f := n.Clip(total, 3e-6); math.Abs(f-0.5) > 1e-6 || math.Abs(float64(ts[0].Grad[0])-1.5e-6) > 1e-12 {
		t.Errorf("factor %v, gradient %v; want 3e-6 / (5e-6 + 1e-6)", f, ts[0].Grad[0])
	}
	if f := n.Clip(1, 0); f != 1 {
		t.Errorf("switched off, it scales by %v", f)
	}
	if f := n.Clip(0.5, 1); f != 1 {
		t.Errorf("below the limit, it scales by %v", f)
	}
}
