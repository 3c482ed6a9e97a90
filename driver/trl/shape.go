package trl

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Shape is what a base's config.json says of its sizes: enough to count its
// parameters and to plan the memory of its training.
type Shape struct {
	ModelType string // "llama", "qwen2", ...
	Hidden    int    // width of the residual stream
	Inner     int    // width of the MLP
	Layers    int
	Heads     int // of queries
	KVHeads   int // of keys and values
	HeadDim   int
	Vocab     int  // rows of the embedding, padding rows included
	Context   int  // tokens; 0 = the file does not say
	Tied      bool // the output projection is the embedding
	QKVBias   bool // q_proj, k_proj and v_proj have a bias
	HeadNorm  bool // q and k are normalised head by head
}

// ReadShape reads config.json of a Hugging Face folder.
func ReadShape(dir string) (Shape, error) {
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return Shape{}, fmt.Errorf("the base's sizes: %w; expected a Hugging Face folder with a config.json", err)
	}
	s, err := ParseShape(data)
	if err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// maxSize bounds every number of a config.json, so that no product of three of
// them leaves an int64.
const maxSize = 1 << 20

// ParseShape reads the text of a config.json. A base whose memory cannot be told
// from it (no sizes, a mixture of experts) is an error.
func ParseShape(data []byte) (Shape, error) {
	var c struct {
		ModelType string `json:"model_type"`
		Hidden    int    `json:"hidden_size"`
		Inner     int    `json:"intermediate_size"`
		Layers    int    `json:"num_hidden_layers"`
		Heads     int    `json:"num_attention_heads"`
		KVHeads   int    `json:"num_key_value_heads"`
		HeadDim   int    `json:"head_dim"`
		Vocab     int    `json:"vocab_size"`
		Context   int    `json:"max_position_embeddings"`
		Tied      bool   `json:"tie_word_embeddings"`
		Bias      *bool  `json:"attention_bias"`
		Experts   int    `json:"num_experts"`
		Local     int    `json:"num_local_experts"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return Shape{}, fmt.Errorf("not a config.json of a model: %w", err)
	}
	if c.Experts > 1 || c.Local > 1 {
		return Shape{}, fmt.Errorf("a mixture of %d experts: its memory cannot be planned yet", max(c.Experts, c.Local))
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	for _, n := range []struct {
		name string
		n    int
	}{
		{"hidden_size", c.Hidden}, {"intermediate_size", c.Inner}, {"num_hidden_layers", c.Layers}, {"num_attention_heads", c.Heads},
		{"num_key_value_heads", c.KVHeads}, {"head_dim", c.HeadDim}, {"vocab_size", c.Vocab},
	} {
		if n.n < 1 || n.n > maxSize {
			return Shape{}, fmt.Errorf("%s is %d; expected 1 to %d", n.name, n.n, maxSize)
		}
	}
	if c.Context < 0 || c.KVHeads > c.Heads {
		return Shape{}, fmt.Errorf("max_position_embeddings is %d and num_key_value_heads %d of %d heads; expected 0 or more, and no more than heads", c.Context, c.KVHeads, c.Heads)
	}
	s := Shape{ModelType: c.ModelType, Hidden: c.Hidden, Inner: c.Inner, Layers: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim,
		Vocab: c.Vocab, Context: c.Context, Tied: c.Tied, HeadNorm: c.ModelType == "qwen3"}
	// Qwen2 has its biases without a field that says so.
	s.QKVBias = c.ModelType == "qwen2" || c.Bias != nil && *c.Bias
	return s, nil
}

// size is one linear projection of a layer.
type size struct{ in, out int }

// projection returns the sizes of a projection of every layer, by the name that
// target_modules gives it.
func (s Shape) projection(name string) (size, bool) {
	q, kv := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	p, ok := map[string]size{
		"q_proj": {s.Hidden, q}, "k_proj": {s.Hidden, kv}, "v_proj": {s.Hidden, kv}, "o_proj": {q, s.Hidden},
		"gate_proj": {s.Hidden, s.Inner}, "up_proj": {s.Hidden, s.Inner}, "down_proj": {s.Inner, s.Hidden},
	}[name]
	return p, ok
}

// projections are the names of a layer's linear projections, in the order of the layer.
var projections = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// linear counts the weights of all layers' projections: what NF4 quantises.
func (s Shape) linear() int64 {
	var n int64
	for _, name := range projections {
		p, _ := s.projection(name)
		n += int64(p.in) * int64(p.out)
	}
	return n * int64(s.Layers)
}

// embedding counts the embedding and, where it is its own, the output projection.
func (s Shape) embedding() int64 {
	n := int64(s.Vocab) * int64(s.Hidden)
	if !s.Tied {
		n *= 2
	}
	return n
}

// small counts norms and biases.
func (s Shape) small() int64 {
	n := int64(2*s.Layers+1) * int64(s.Hidden)
	if s.QKVBias {
		n += int64(s.Layers) * int64((s.Heads+2*s.KVHeads)*s.HeadDim)
	}
	if s.HeadNorm {
		n += int64(s.Layers) * int64(2*s.HeadDim)
	}
	return n
}

// Parameters counts all weights of the base.
func (s Shape) Parameters() int64 { return s.linear() + s.embedding() + s.small() }
