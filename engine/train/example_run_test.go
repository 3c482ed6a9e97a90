package train_test

import (
	"context"
	"fmt"
	"os"

	"dlm/engine/kernel"
	"dlm/engine/lora"
	"dlm/engine/model"
	"dlm/engine/train"
	"dlm/engine/weights"
)

// Example teaches a tiny base to say 7 after 5, 6.
func Example() {
	x, _ := kernel.New(1)
	defer x.Close()
	ck, err := weights.Open("../testdata/tiny/llama-tied")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ck.Close()
	m, _ := model.Load(ck, x, kernel.BF16)
	a := lora.New(m, lora.Config{Rank: 4, Alpha: 8}, 1)
	data := []train.Example{{ID: "row 1", IDs: []int32{5, 6, 7}, Mask: []bool{false, false, true}}}
	dir, _ := os.MkdirTemp("", "run")
	defer os.RemoveAll(dir)
	res, err := train.Run(context.Background(), m, a, data, nil,
		train.Config{BatchSize: 1, MaxSteps: 20, LR: 0.02, Schedule: "constant", Packing: true}, dir, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Steps, res.Losses[0] > 3, res.Loss < 0.1)
	// Output: 20 true true
}
