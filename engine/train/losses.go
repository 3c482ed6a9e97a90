package train

import "dlm/engine/loss"

// losses keeps each example's summed loss, so that a step's loss is summed in
// the order of the step, however its examples are grouped and cut.
type losses []float64

// add takes the log-probabilities of the targets of some examples.
func (l losses) add(data []Example, examples []int, logps []float32) {
	for _, i := range examples {
		n := data[i].targets()
		l[i] = loss.SFT(0, logps[:n])
		logps = logps[n:]
	}
}

// sum adds up the losses of some examples.
func (l losses) sum(examples []int) (sum float64) {
	for _, i := range examples {
		sum += l[i]
	}
	return sum
}
