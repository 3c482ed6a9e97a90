// Package optim turns gradients into new parameter values: AdamW as PyTorch
// computes it, learning-rate schedules as transformers computes them, and
// clipping by the global norm.
//
// The main type is AdamW. The package knows slices of numbers and nothing of
// models, adapters, data or files; whoever owns a Tensor decides what it means.
//
// Every function is deterministic whatever the number of threads: work is split
// by tensor, elements are independent, and sums are taken in float64 in the
// order of the tensors and of their elements (engine law 6).
package optim

// Tensor is one trained tensor and its gradient, flat and of equal length. The
// order of elements does not matter to any function here, but must not change
// between steps, because the moments follow it.
type Tensor struct {
	Name  string
	Value []float32
	Grad  []float32
}

// Runner runs f(task, worker) for every task in 0..tasks-1, perhaps on several
// threads, and returns when all are done. kernel's (*Exec).Run is one.
type Runner func(tasks int, f func(task, worker int))

// Serial is the Runner that uses the calling goroutine alone.
func Serial(tasks int, f func(task, worker int)) {
	for i := range tasks {
		f(i, 0)
	}
}
