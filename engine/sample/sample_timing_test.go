package sample

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkPick(b *testing.B) {
	logits := randomLogits(rand.New(rand.NewPCG(7, 8)), 49152, 3)
	for _, name := range []string{"greedy", "temperature", "top-k", "top-p", "all"} {
		b.Run(name, func(b *testing.B) {
			s := New(exec(b), len(logits))
			h := NewHistory(len(logits))
			h.Add(5, 6, 7)
			for i := range b.N {
				if _, err := s.Pick(logits, settings[name], Place{Position: i, History: h}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
