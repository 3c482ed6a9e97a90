package lora

import "dlm/engine/weights"

// Merge returns what the adapter adds to the base's tensor of a Hugging Face
// name, row by row, as an edit of its dequantised values; nil for a tensor that it
// does not adapt. It is PEFT's merge: W' = W + scale * B A, in f32 with the f32
// masters, one chain over the rank for each element. What is served multiplies by
// bf16(A) and bf16(B) instead, so that merged weights answer nearly, not exactly,
// as base and adapter do.
func (a *Adapter) Merge(name string) weights.Edit {
	for _, p := range a.proj {
		if name == p.path()+".weight" {
			return p.merge
		}
	}
	return nil
}

// merge adds row o of scale * B A to values.
func (p *projection) merge(o int, values []float32) {
	delta := make([]float32, p.in)
	for r := range p.lora.Rank {
		b := p.bt[r*p.out+o]
		for i, v := range p.a[r*p.in : (r+1)*p.in] {
			delta[i] += float32(b * v)
		}
	}
	for i, d := range delta {
		values[i] += float32(p.lora.Scale * d)
	}
}
