package native

import (
	"dlm"
	"dlm/engine/kernel"
	"dlm/engine/lora"
	"dlm/engine/weights"
)

// Identity is what an adapter is bound to: base, tokenizer, template, stop tokens.
func (t *Text) Identity() lora.BaseIdentity { return t.id }

// Digest names the base's weights.
func (t *Text) Digest() dlm.Digest { return dlm.Digest(t.id.BaseHash) }

// FileDigest names the weights as the base's files have them: Digest, but for a
// base that is quantised as it is loaded.
func (n *Native) FileDigest() dlm.Digest { return dlm.Digest(n.file) }

// Config returns the shapes of the base.
func (n *Native) Config() weights.Config { return n.m.Config() }

// Path returns where the base lies.
func (t *Text) Path() string { return t.path }

// Kernels returns the name of the kernel set in use.
func (n *Native) Kernels() string { return n.x.Name() }

// Threads returns the number of worker threads in use.
func (n *Native) Threads() int { return n.x.Threads() }

// Precision returns "bf16" or "f32".
func (n *Native) Precision() string {
	if n.m.Mode() == kernel.F32 {
		return "f32"
	}
	return "bf16"
}

// WeightBytes is the memory that the packed weights take.
func (n *Native) WeightBytes() int64 { return n.m.Bytes() }

// HasTemplate reports whether the base has a chat template.
func (t *Text) HasTemplate() bool { return t.tmpl != nil }

// PadID is the token that pads a batch, -1 when the base has none.
func (t *Text) PadID() int32 { return t.tok.Pad() }

// AddedBOS is the text of the token that the tokenizer puts before a text by itself,
// empty where it puts none.
func (t *Text) AddedBOS() string {
	if !t.tok.AddBOS() {
		return ""
	}
	return t.text(t.tok.BOS())
}
