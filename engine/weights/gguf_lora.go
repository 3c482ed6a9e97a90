package weights

import (
	"fmt"
)

// LoRAPair is an adapter's two matrices for one projection.
type LoRAPair struct {
	Name  string    // of the base's tensor, as Hugging Face writes it: model.layers.0.self_attn.q_proj.weight
	Rank  int       //
	A, B  []float32 // [Rank, in], [out, Rank], row-major
	Scale float64   // of B A
}

// WriteGGUFLoRA writes an adapter as a GGUF file that llama.cpp loads beside a base
// of c's shape (general.type adapter, adapter.type lora), in F32, with the rows of B
// in llama.cpp's order.
//
// llama.cpp multiplies by alpha / rank with one alpha for the whole file. Where
// that is not the scale of every pair, because ranks or alphas differ, B holds the
// rest.
func (c *Checkpoint) WriteGGUFLoRA(path, name string, pairs []LoRAPair) error {
	if len(pairs) == 0 {
		return fmt.Errorf("the adapter has no matrices")
	}
	alpha := pairs[0].Scale * float64(pairs[0].Rank)
	if alpha == 0 {
		alpha = 1 // llama.cpp takes 0 for a scale of 1
	}
	metadata := []KV{
		{"general.architecture", c.Config.Arch}, {"general.type", "adapter"}, {"general.name", name},
		{"adapter.type", "lora"}, {"adapter.lora.alpha", float32(alpha)},
	}
	var tensors []Named
	for _, p := range pairs {
		t, err := c.Tensor(p.Name)
		if err != nil {
			return err
		}
		if len(p.A) != p.Rank*t.Cols || len(p.B) != p.Rank*t.Rows {
			return fmt.Errorf("%s: the adapter's matrices have %d and %d values; rank %d of %v needs %d and %d", p.Name, len(p.A), len(p.B), p.Rank, t.Shape, p.Rank*t.Cols, p.Rank*t.Rows)
		}
		rest := float32(1)
		if share := p.Scale * float64(p.Rank); share != alpha {
			rest = float32(share / alpha)
		}
		d := c.ropeRows(p.Name)
		b := make([]float32, len(p.B))
		for i := range t.Rows {
			from := i
			if d != 0 {
				from = uninterleaved(i, d)
			}
			for r := range p.Rank {
				b[i*p.Rank+r] = rest * p.B[from*p.Rank+r]
			}
		}
		gguf := ggufName(p.Name)
		tensors = append(tensors, NamedF32(gguf+".lora_a", []int{p.Rank, t.Cols}, p.A), NamedF32(gguf+".lora_b", []int{t.Rows, p.Rank}, b))
	}
	return WriteGGUF(path, metadata, tensors)
}
