package optim

import "math"

// Norm computes the global gradient norm of the same tensors again and again
// without allocating.
type Norm struct {
	tensors []Tensor
	squares []float64 // sum of squares of each tensor
	coef    float32
	run     Runner
	square  func(task, worker int)
	scale   func(task, worker int)
}

// NewNorm prepares the norm of tensors. run may be nil.
func NewNorm(tensors []Tensor, run Runner) *Norm {
	if run == nil {
		run = Serial
	}
	n := &Norm{tensors: tensors, squares: make([]float64, len(tensors)), run: run}
	n.square = func(i, _ int) {
		sum := 0.0
		for _, g := range n.tensors[i].Grad {
			sum += float64(float64(g) * float64(g)) // exact
		}
		n.squares[i] = sum
	}
	n.scale = func(i, _ int) {
		g := n.tensors[i].Grad
		for j := range g {
			g[j] *= n.coef
		}
	}
	return n
}

// Total returns the L2 norm over all gradients: squares summed in float64, each
// tensor in the order of its elements, then the tensors in their order.
func (n *Norm) Total() float64 {
	n.run(len(n.tensors), n.square)
	sum := 0.0
	for _, s := range n.squares {
		sum += s
	}
	return math.Sqrt(sum)
}

// Of returns the L2 norm of tensor i as of the last call of Total.
func (n *Norm) Of(i int) float64 { return math.Sqrt(n.squares[i]) }

// Clip scales the gradients so that their norm is at most maxNorm, given their
// norm total, by torch.nn.utils.clip_grad_norm_'s formula:
//
//	g ← g · min(1, maxNorm / (total + 1e-6))
//
// maxNorm 0 means no clipping. It returns the factor applied.
func (n *Norm) Clip(total, maxNorm float64) float64 {
	if maxNorm <= 0 {
		return 1
	}
	coef := maxNorm / (total + 1e-6)
	if coef >= 1 {
		return 1
	}
	n.coef = float32(coef)
	n.run(len(n.tensors), n.scale)
	return coef
}
