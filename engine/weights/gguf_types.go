package weights

import (
	"fmt"
	"slices"
	"strings"
)

// ggufFormat is a mix of types under which a GGUF file of a base goes.
type ggufFormat struct {
	name     string
	fileType uint32 // general.file_type (llama.cpp's llama_ftype)
	matrix   Type   // of most matrices
	head     Type   // of the output projection, and of the embedding where that is it
	more     Type   // of those that lose most, in the layers moreBits names
}

// ggufFormats are the mixes that are written. q4_k is what llama.cpp calls Q4_K_M.
var ggufFormats = []ggufFormat{
	{"f16", 1, F16, F16, F16},
	{"q8_0", 7, Q8_0, Q8_0, Q8_0},
	{"q4_0", 2, Q4_0, Q6_K, Q4_0},
	{"q4_k", 15, Q4_K, Q6_K, Q6_K},
}

// GGUFFormats lists the formats of a GGUF file that can be written.
func GGUFFormats() []string {
	names := make([]string, len(ggufFormats))
	for i, f := range ggufFormats {
		names[i] = f.name
	}
	return names
}

func parseGGUFFormat(name string) (ggufFormat, error) {
	i := slices.IndexFunc(ggufFormats, func(f ggufFormat) bool { return f.name == name })
	if i < 0 {
		return ggufFormat{}, fmt.Errorf("GGUF type %q: expected %s", name, strings.Join(GGUFFormats(), ", "))
	}
	return ggufFormats[i], nil
}

// typeOf is the type of a matrix, as llama.cpp's quantiser chooses it: the output
// projection (a tied embedding too) and, in some layers, attn_v and ffn_down get
// more bits.
func (f ggufFormat) typeOf(c Config, n need, layer int) Type {
	t := f.matrix
	switch {
	case n.name == "lm_head.weight", n.name == "model.embed_tokens.weight" && c.Tied:
		t = f.head
	case moreBits(layer, c.Layers) && (strings.HasSuffix(n.name, ".v_proj.weight") || strings.HasSuffix(n.name, ".down_proj.weight")):
		t = f.more
	}
	return fitting(t, n.cols)
}

// moreBits says in which layers of n Q4_K_M spends more: the first and last eighth,
// and every third between.
func moreBits(layer, n int) bool {
	return layer >= 0 && (layer < n/8 || layer >= 7*n/8 || (layer-n/8)%3 == 2)
}

// fitting is the type that stands in for one whose blocks do not divide a row, as
// in llama.cpp: blocks of 32 with one bit or more to spare, and F16 where even
// these do not fit.
func fitting(t Type, cols int) Type {
	if per, _ := t.Block(); cols%per == 0 {
		return t
	}
	switch t {
	case Q4_K:
		return fitting(Q5_0, cols)
	case Q6_K:
		return fitting(Q8_0, cols)
	}
	return F16
}
