package optim

import (
	"fmt"
	"math"

	"dlm/engine/kernel"
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

	x    *kernel.Exec
	k    kernel.AdamW
	task func(task, worker int) // bound once: an update allocates nothing
}

// NewAdamW makes an optimiser for tensors with zero moments that updates them on
// x.
func NewAdamW(tensors []Tensor, cfg AdamWConfig, x *kernel.Exec) *AdamW {
	o := &AdamW{cfg: cfg, tensors: tensors, x: x}
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
	o.k = kernel.AdamW{ // rounded where PyTorch hands them to a float32 operation
		Decay:         float32(1 - float64(lr*c.WeightDecay)),
		OneMinusBeta1: float32(1 - c.Beta1),
		Beta2:         float32(c.Beta2),
		OneMinusBeta2: float32(1 - c.Beta2),
		RootBias2:     float32(math.Sqrt(1 - kernel.Pow64(c.Beta2, t))),
		Eps:           float32(c.Eps),
		NegStep:       float32(-(lr / (1 - kernel.Pow64(c.Beta1, t)))),
	}
	o.x.Run(len(o.tensors), o.task)
}

// updateOne is the update of one tensor.
func (o *AdamW) updateOne(i int) {
	o.x.AdamW(o.tensors[i].Value, o.m[i], o.v[i], o.tensors[i].Grad, o.k)
}

// Steps returns the number of updates made.
func (o *AdamW) Steps() int { return o.step }

// Moments returns the first and the second moment of tensor i, the optimiser's
// own memory, for checkpoints.
func (o *AdamW) Moments(i int) (m, v []float32) { return o.m[i], o.v[i] }

// SetSteps sets the number of updates made, when resuming from a checkpoint.
func (o *AdamW) SetSteps(n int) { o.step = n }
