package optim_test

import (
	"fmt"

	"dlm/engine/kernel"
	"dlm/engine/optim"
)

func ExampleAdamW() {
	x, err := kernel.New(1)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer x.Close()
	t := optim.Tensor{Name: "w", Value: []float32{1}, Grad: make([]float32, 1)}
	opt := optim.NewAdamW([]optim.Tensor{t}, optim.DefaultAdamW(), x)
	norm := optim.NewNorm([]optim.Tensor{t}, nil)
	rate := optim.Schedule{Kind: "linear", Peak: 0.1, Total: 3}
	for step := range 3 {
		t.Grad[0] = 2 * t.Value[0] // of the loss w²
		norm.Clip(norm.Total(), 1)
		opt.Update(rate.LR(step))
	}
	fmt.Printf("%.3f\n", t.Value[0])
	// Output: 0.800
}
