package loss_test

import (
	"fmt"

	"dlm/engine/loss"
)

// A step of two micro-batches with three targets together.
func ExampleSFT() {
	sum := loss.SFT(0, []float32{-1, -2})
	sum = loss.SFT(sum, []float32{-6})
	fmt.Println(sum / 3)
	// Output: 3
}
