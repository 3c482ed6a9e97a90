package sample

import "math"

// keepAllowed gives every token whose bit is clear the score of one that cannot come.
func keepAllowed(scores []float32, allowed []uint64) {
	never := float32(math.Inf(-1))
	for w := 0; w*64 < len(scores); w++ {
		bits := uint64(0)
		if w < len(allowed) {
			bits = allowed[w]
		}
		if bits == math.MaxUint64 {
			continue
		}
		part := scores[w*64 : min(len(scores), w*64+64)]
		if bits == 0 {
			for i := range part {
				part[i] = never
			}
			continue
		}
		for i := range part {
			if bits>>i&1 == 0 {
				part[i] = never
			}
		}
	}
}

// ban gives the tokens the score of ones that cannot come.
func ban(scores []float32, ids []int32) {
	never := float32(math.Inf(-1))
	for _, id := range ids {
		if int(uint32(id)) < len(scores) {
			scores[id] = never
		}
	}
}
