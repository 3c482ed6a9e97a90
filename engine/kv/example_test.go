package kv_test

import (
	"fmt"

	"dlm/engine/kv"
)

// Example shows the life of a sequence's blocks.
func Example() {
	shape := kv.Shape{Layers: 2, KVHeads: 1, HeadDim: 16}
	pool, err := kv.NewPool(shape, 4*shape.BlockBytes())
	if err != nil {
		panic(err)
	}
	s := pool.NewSequence()
	if err := s.Grow(100); err != nil { // room for 100 positions: two blocks
		panic(err)
	}
	keys, _ := s.Blocks(1, 0) // written by the forward pass
	s.Advance(100)
	fmt.Println(s.Len(), len(keys), pool.Used(), pool.Free())
	s.Free()
	fmt.Println(s.Len(), pool.Used(), pool.Free())
	// Output:
	// 100 2 2 2
	// 0 0 4
}
