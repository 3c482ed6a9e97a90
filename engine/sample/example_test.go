package sample_test

import (
	"fmt"

	"dlm/engine/kernel"
	"dlm/engine/sample"
)

// Example picks from three logits, greedily and at random. The same seed and
// position always draw the same token.
func Example() {
	x, err := kernel.New(1)
	if err != nil {
		panic(err)
	}
	defer x.Close()
	s := sample.New(x, 3)
	logits := []float32{1, 2.5, 2}
	greedy, _ := s.Pick(logits, sample.Params{}, sample.Place{Position: 0})
	p := sample.Params{Temperature: 0.8, TopP: 0.9, Seed: 7}
	first, _ := s.Pick(logits, p, sample.Place{Position: 12})
	again, _ := s.Pick(logits, p, sample.Place{Position: 12})
	fmt.Println(greedy, first == again)
	// Output: 1 true
}
