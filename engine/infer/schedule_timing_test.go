package infer

import (
	"fmt"
	"testing"

	"dlm/engine/kernel"
)

// BenchmarkSchedule times what a step decides before it computes: 32 sequences that
// decode, and a thousand that wait, of which none (all places are taken) or none yet
// (no block is free) can start.
func BenchmarkSchedule(b *testing.B) {
	m := tiny(b, "llama-tied", kernel.BF16, 1)
	for _, places := range []int{32, 40} {
		b.Run(fmt.Sprintf("places=%d", places), func(b *testing.B) {
			e := engine(b, m, Options{MaxSequences: places, CacheBytes: 34 * shapeOf(m).BlockBytes()})
			add := func(seed, length int) {
				r := Request{IDs: randomIDs(uint64(seed), length, 384), MaxTokens: 40, Tenant: fmt.Sprint(seed % 10)}
				if _, err := e.Add(r, nil); err != nil {
					b.Fatal(err)
				}
			}
			for i := range 32 {
				add(i, 20)
			}
			for range 3 {
				step(b, e)
			}
			for i := range 1000 {
				add(i, 300)
			}
			if len(e.running) != 32 {
				b.Fatalf("%d run", len(e.running))
			}
			for b.Loop() {
				e.schedule()
			}
		})
	}
}
