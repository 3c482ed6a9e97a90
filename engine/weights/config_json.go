package weights

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// hfConfig holds the members of a Hugging Face config.json that change the
// forward pass of the supported architectures. Pointers tell absent from zero.
type hfConfig struct {
	ModelType     string   `json:"model_type"`
	Architectures []string `json:"architectures"`
	NameOrPath    string   `json:"_name_or_path"`

	Hidden    *int     `json:"hidden_size"`
	FFN       *int     `json:"intermediate_size"`
	Layers    *int     `json:"num_hidden_layers"`
	Heads     *int     `json:"num_attention_heads"`
	KVHeads   *int     `json:"num_key_value_heads"`
	HeadDim   *int     `json:"head_dim"`
	Vocab     *int     `json:"vocab_size"`
	MaxSeq    *int     `json:"max_position_embeddings"`
	NormEps   *float64 `json:"rms_norm_eps"`
	Tied      *bool    `json:"tie_word_embeddings"`
	Act       *string  `json:"hidden_act"`
	RopeTheta *float64 `json:"rope_theta"`

	RopeScaling    json.RawMessage `json:"rope_scaling"`    // transformers 4
	RopeParameters json.RawMessage `json:"rope_parameters"` // transformers 5: rope_theta and scaling in one

	AttentionBias bool            `json:"attention_bias"`
	MLPBias       bool            `json:"mlp_bias"`
	UseSliding    bool            `json:"use_sliding_window"`
	LayerTypes    []string        `json:"layer_types"`
	PartialRotary *float64        `json:"partial_rotary_factor"`
	Quantization  json.RawMessage `json:"quantization_config"`
}

// hfRope is rope_scaling or rope_parameters.
type hfRope struct {
	Theta         *float64 `json:"rope_theta"`
	RopeType      string   `json:"rope_type"`
	Type          string   `json:"type"` // older spelling of rope_type
	Factor        *float64 `json:"factor"`
	Low           *float64 `json:"low_freq_factor"`
	High          *float64 `json:"high_freq_factor"`
	Original      *int     `json:"original_max_position_embeddings"`
	PartialRotary *float64 `json:"partial_rotary_factor"`
}

// hfClasses are the supported causal language models by model_type.
var hfClasses = map[string]string{"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}

// configFromJSON reads a config.json of transformers 4 or 5.
func configFromJSON(data []byte) (Config, error) {
	var h hfConfig
	if err := json.Unmarshal(data, &h); err != nil {
		return Config{}, fmt.Errorf("not a valid config: %w", err)
	}
	if err := h.refuse(); err != nil {
		return Config{}, err
	}
	c := Config{
		Arch: h.ModelType, Layers: or(h.Layers, 0), Hidden: or(h.Hidden, 0), FFN: or(h.FFN, 0), Heads: or(h.Heads, 0),
		KVHeads: or(h.KVHeads, or(h.Heads, 0)), HeadDim: or(h.HeadDim, 0), Vocab: or(h.Vocab, 0), MaxSeq: or(h.MaxSeq, 0),
		NormEps: float32(or(h.NormEps, 1e-6)), Tied: or(h.Tied, false), QKVBias: h.ModelType == "qwen2", QKNorm: h.ModelType == "qwen3", Name: h.NameOrPath,
	}
	switch {
	case h.HeadDim != nil:
	case h.ModelType == "qwen3":
		c.HeadDim = 128 // transformers' default for this family, whatever the hidden size
	case c.Heads > 0:
		if c.Hidden%c.Heads != 0 {
			return c, fmt.Errorf("hidden_size %d is not a multiple of num_attention_heads %d and head_dim is not given", c.Hidden, c.Heads)
		}
		c.HeadDim = c.Hidden / c.Heads
	}
	if err := h.rope(&c); err != nil {
		return c, err
	}
	return c, c.check()
}

// refuse names the first feature that would change the forward pass and that
// the engine does not have.
func (h *hfConfig) refuse() error {
	class, ok := hfClasses[h.ModelType]
	if !ok {
		return fmt.Errorf("model_type %q is not supported; supported are %s", h.ModelType, familyNames())
	}
	if len(h.Architectures) > 0 && !slices.Equal(h.Architectures, []string{class}) {
		return fmt.Errorf("architectures %v is not supported; expected [%s]", h.Architectures, class)
	}
	for _, t := range h.LayerTypes {
		if t != "full_attention" {
			return fmt.Errorf("layer_types holds %q; only full_attention is supported", t)
		}
	}
	switch {
	case h.Act != nil && *h.Act != "silu" && *h.Act != "swish":
		return fmt.Errorf("hidden_act %q is not supported; expected silu", *h.Act)
	case h.AttentionBias && h.ModelType != "qwen2":
		return fmt.Errorf("attention_bias is true; %s bases with attention biases are not supported", h.ModelType)
	case h.MLPBias:
		return fmt.Errorf("mlp_bias is true; biases in the feed-forward are not supported")
	case h.UseSliding:
		return fmt.Errorf("use_sliding_window is true; sliding window attention is not supported")
	case h.PartialRotary != nil && *h.PartialRotary != 1:
		return fmt.Errorf("partial_rotary_factor %v is not supported; expected 1", *h.PartialRotary)
	case given(h.Quantization):
		return fmt.Errorf("quantization_config is set; safetensors bases must hold F32, F16 or BF16 weights")
	}
	return nil
}

// rope fills RopeTheta and RopeScaling from whichever spelling is there.
func (h *hfConfig) rope(c *Config) error {
	c.RopeTheta = or(h.RopeTheta, 10000)
	field, raw := "rope_scaling", h.RopeScaling
	if given(h.RopeParameters) {
		if given(h.RopeScaling) && !sameJSON(h.RopeParameters, h.RopeScaling) {
			return fmt.Errorf("rope_parameters and rope_scaling are both set and differ; keep the one that the base was trained with")
		}
		field, raw = "rope_parameters", h.RopeParameters
	}
	if !given(raw) {
		return nil
	}
	var r hfRope
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	if r.Theta != nil {
		if h.RopeTheta != nil && *h.RopeTheta != *r.Theta {
			return fmt.Errorf("rope_theta is %v but %s says %v", *h.RopeTheta, field, *r.Theta)
		}
		c.RopeTheta = *r.Theta
	}
	if r.PartialRotary != nil && *r.PartialRotary != 1 {
		return fmt.Errorf("%s.partial_rotary_factor %v is not supported; expected 1", field, *r.PartialRotary)
	}
	kind := r.RopeType
	if kind == "" {
		kind = r.Type
	}
	switch kind {
	case "", "default":
		if kind == "" && r.Factor != nil {
			return fmt.Errorf("%s has a factor but no rope_type", field)
		}
		return nil
	case "llama3":
		if r.Factor == nil || r.Low == nil || r.High == nil || r.Original == nil {
			return fmt.Errorf("%s of type llama3 needs factor, low_freq_factor, high_freq_factor and original_max_position_embeddings", field)
		}
		c.RopeScaling = &RopeScaling{*r.Factor, *r.Low, *r.High, *r.Original}
		return nil
	}
	return fmt.Errorf("%s of type %q is not supported; supported are default and llama3", field, kind)
}

// or returns *p, or d where p is nil.
func or[T any](p *T, d T) T {
	if p == nil {
		return d
	}
	return *p
}

// given reports whether a raw member is there and not null.
func given(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && !bytes.Equal(raw, []byte("null"))
}

// sameJSON reports whether two members hold the same text but for white space.
func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
