package optim

import (
	"fmt"
	"math"
)

// AdamWConfig holds AdamW's constants.
type AdamWConfig struct {
	Beta1, Beta2 float64 // decay of the first and of the second moment
	Eps          float64 // added to the root of the second moment, after bias correction
	WeightDecay  float64 // decoupled; multiplied by the learning rate
}

// DefaultAdamW returns PyTorch's constants, with the weight decay off (as PEFT
// recipes have it; torch.optim.AdamW itself has 0.01).
func DefaultAdamW() AdamWConfig {
	return AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}
}

// AdamW is the optimiser of Loshchilov and Hutter (arXiv:1711.05101, algorithm
// 2) with the arithmetic of torch.optim.AdamW on the CPU (torch/optim/adam.py,
// _single_tensor_adam with decoupled_weight_decay, PyTorch 2.15): every tensor
// operation is rounded to float32 once, the scalars are computed in float64.
// For step t, learning rate η, gradient g:
//
//	θ ← θ (1 - η λ)
//	m ← m + (1-β₁)(g - m)
//	v ← β₂ v + ((1-β₂) g) g
//	θ ← θ + (-η/(1-β₁ᵗ)) m / (√v / √(1-β₂ᵗ) + ε)
type AdamW struct {
	cfg     AdamWConfig
	tensors []Tensor
	m, v    [][]float32 // moments, like tensors[i].Value
	step    int

	run  Runner
	k    scalars
	task func(task, worker int) // bound once: an update allocates nothing
}

// scalars are the constants of one update, rounded to float32 where PyTorch
// hands them to a float32 operation.
type scalars struct {
	decay, oneMinusBeta1, beta2, oneMinusBeta2 float32
	rootBias2, eps, negStep                    float32
}

// NewAdamW makes an optimiser for tensors with zero moments. run may be nil.
func NewAdamW(tensors []Tensor, cfg AdamWConfig, run Runner) *AdamW {
	if run == nil {
		run = Serial
	}
	o := &AdamW{cfg: cfg, tensors: tensors, run: run}
	for _, t := range tensors {
		if len(t.Value) != len(t.Grad) {
			panic(fmt.Sprintf("optim: tensor %s has %d values and %d gradients", t.Name, len(t.Value), len(t.Grad)))
		}
		o.m = append(o.m, make([]float32, len(t.Value)))
		o.v = append(o.v, make([]float32, len(t.Value)))
	}
	o.task = func(i, _ int) { o.updateOne(i) }
	return o
}

// Update moves every tensor by one step with learning rate lr.
func (o *AdamW) Update(lr float64) {
	o.step++
	t := float64(o.step)
	c := o.cfg
	o.k = scalars{
		decay:         float32(1 - lr*c.WeightDecay),
		oneMinusBeta1: float32(1 - c.Beta1),
		beta2:         float32(c.Beta2),
		oneMinusBeta2: float32(1 - c.Beta2),
		rootBias2:     float32(math.Sqrt(1 - math.Pow(c.Beta2, t))),
		eps:           float32(c.Eps),
		negStep:       float32(-(lr / (1 - math.Pow(c.Beta1, t)))),
	}
	o.run(len(o.tensors), o.task)
}

// updateOne is the update of one tensor. The float32 conversions around products
// forbid fused multiply-adds, which would give other bits on some CPUs.
func (o *AdamW) updateOne(i int) {
	k := o.k
	g := o.tensors[i].Grad
	p, m, v := o.tensors[i].Value[:len(g)], o.m[i][:len(g)], o.v[i][:len(g)]
	decays := o.cfg.WeightDecay != 0
	for j, gj := range g {
		pj := p[j]
		if decays {
			pj = float32(pj * k.decay)
		}
		mj := m[j] + float32(k.oneMinusBeta1*(gj-m[j]))
		vj := float32(v[j]*k.beta2) + float32(float32(k.oneMinusBeta2*gj)*gj)
		root := float32(math.Sqrt(float64(vj))) // correctly rounded: one SQRTSS
		denom := root/k.rootBias2 + k.eps
		p[j] = pj + float32(k.negStep*mj)/denom
		m[j], v[j] = mj, vj
	}
}

// Steps returns the number of updates made.
func (o *AdamW) Steps() int { return o.step }

// Moments returns the first and the second moment of tensor i, the optimiser's
// own memory, for checkpoints.
func (o *AdamW) Moments(i int) (m, v []float32) { return o.m[i], o.v[i] }

// SetSteps sets the number of updates made, when resuming from a checkpoint.
func (o *AdamW) SetSteps(n int) { o.step = n }
