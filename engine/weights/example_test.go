package weights_test

import (
	"fmt"

	"dlm/engine/weights"
)

func ExampleOpen() {
	base, err := weights.Open("../testdata/tiny/llama-tied/q4_1.gguf")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer base.Close()
	q, err := base.Tensor("model.layers.0.self_attn.q_proj.weight")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(base.Config.Arch, base.Config.Layers, q.Type, q.Shape)
	// Output: llama 2 Q4_1 [64 64]
}
