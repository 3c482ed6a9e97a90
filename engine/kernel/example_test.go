package kernel_test

import (
	"fmt"

	"dlm/engine/kernel"
)

// A matrix is packed once; then activations are multiplied with it.
func Example() {
	x, err := kernel.New(0) // best kernel set, a worker per usable core
	if err != nil {
		fmt.Println(err)
		return
	}
	defer x.Close()

	w := kernel.NewPanels(kernel.FormatBF16, 2, 3) // W [2, 3]
	w.SetRowF32(0, []float32{1, 2, 3})
	w.SetRowF32(1, []float32{0, -1, 0.5})

	a := kernel.NewOperand(kernel.BF16, 1, 3) // one row of activations
	x.Round(a, []float32{1, 1, 2}, 3)

	y := make([]float32, 2)
	x.MatMul(y, 2, a, w, false) // y = a · Wᵀ
	fmt.Println(y)
	// Output: [9 0]
}
