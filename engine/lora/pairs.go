package lora

import "dlm/engine/weights"

// Pairs returns the adapter's matrices as a GGUF file takes them: projection by
// projection, B not transposed. A is shared with the adapter.
func (a *Adapter) Pairs() []weights.LoRAPair {
	out := make([]weights.LoRAPair, len(a.proj))
	for i, p := range a.proj {
		rank := p.lora.Rank
		b := make([]float32, len(p.bt))
		for o := range p.out {
			for r := range rank {
				b[o*rank+r] = p.bt[r*p.out+o]
			}
		}
		out[i] = weights.LoRAPair{Name: p.path() + ".weight", Rank: rank, A: p.a, B: b, Scale: float64(p.lora.Scale)}
	}
	return out
}
