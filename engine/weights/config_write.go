package weights

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// TokenIDs are the ids that a config names beside the shapes; -1 = none.
type TokenIDs struct {
	BOS, EOS, Pad int32
	Stop          []int32 // all that end a completion; the generation config's eos_token_id
}

// hfConfigFile is the config.json of a supported architecture, with every field
// that transformers reads: 4 (rope_theta, rope_scaling) and 5 (rope_parameters).
type hfConfigFile struct {
	Architectures []string    `json:"architectures"`
	ModelType     string      `json:"model_type"`
	Dtype         string      `json:"dtype"`
	TorchDtype    string      `json:"torch_dtype"` // transformers 4
	Hidden        int         `json:"hidden_size"`
	FFN           int         `json:"intermediate_size"`
	Layers        int         `json:"num_hidden_layers"`
	Heads         int         `json:"num_attention_heads"`
	KVHeads       int         `json:"num_key_value_heads"`
	HeadDim       int         `json:"head_dim"`
	Vocab         int         `json:"vocab_size"`
	MaxSeq        int         `json:"max_position_embeddings"`
	Act           string      `json:"hidden_act"`
	NormEps       json.Number `json:"rms_norm_eps"`
	RopeTheta     json.Number `json:"rope_theta"`
	RopeScaling   *hfRopeFile `json:"rope_scaling,omitempty"`
	RopeParams    hfRopeFile  `json:"rope_parameters"`
	Tied          bool        `json:"tie_word_embeddings"`
	AttentionBias bool        `json:"attention_bias"`
	AttentionDrop json.Number `json:"attention_dropout"`
	MLPBias       *bool       `json:"mlp_bias,omitempty"`           // llama
	UseSliding    *bool       `json:"use_sliding_window,omitempty"` // qwen
	UseCache      bool        `json:"use_cache"`
	BOS           *int32      `json:"bos_token_id"`
	EOS           *int32      `json:"eos_token_id"`
	Pad           *int32      `json:"pad_token_id"`
}

type hfRopeFile struct {
	RopeType string      `json:"rope_type"`
	Theta    json.Number `json:"rope_theta"`
	Factor   json.Number `json:"factor,omitempty"`
	Low      json.Number `json:"low_freq_factor,omitempty"`
	High     json.Number `json:"high_freq_factor,omitempty"`
	Original int         `json:"original_max_position_embeddings,omitempty"`
}

// JSON writes the config as Hugging Face's libraries read it, for weights stored
// in dtype (F32, F16 or BF16), and the generation config that goes with it.
func (c Config) JSON(dtype Type, ids TokenIDs) (config, generation []byte, err error) {
	name := map[Type]string{F32: "float32", F16: "float16", BF16: "bfloat16"}[dtype]
	if name == "" {
		return nil, nil, fmt.Errorf("a Hugging Face folder cannot hold weights in %s; it holds %s", dtype, supported(true))
	}
	if err := c.check(); err != nil {
		return nil, nil, err
	}
	f := hfConfigFile{
		Architectures: []string{hfClasses[c.Arch]}, ModelType: c.Arch, Dtype: name, TorchDtype: name,
		Hidden: c.Hidden, FFN: c.FFN, Layers: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim,
		Vocab: c.Vocab, MaxSeq: c.MaxSeq, Act: "silu", RopeTheta: decimal(c.RopeTheta, 64), Tied: c.Tied, UseCache: true, AttentionDrop: decimal(0, 64),
		NormEps:       decimal(float64(c.NormEps), 32),
		AttentionBias: c.QKVBias && c.Arch != "qwen2", // qwen2 has biases whatever the field says
		RopeParams:    hfRopeFile{RopeType: "default", Theta: decimal(c.RopeTheta, 64)},
		BOS:           given32(ids.BOS), EOS: given32(ids.EOS), Pad: given32(ids.Pad),
	}
	no := false
	if c.Arch == "llama" {
		f.MLPBias = &no
	} else {
		f.UseSliding = &no
	}
	if s := c.RopeScaling; s != nil {
		f.RopeParams = hfRopeFile{"llama3", f.RopeTheta, decimal(s.Factor, 64), decimal(s.LowFreqFactor, 64), decimal(s.HighFreqFactor, 64), s.OriginalMaxSeq}
		f.RopeScaling = &f.RopeParams
	}
	if config, err = indented(f); err != nil {
		return nil, nil, err
	}
	generation, err = indented(struct {
		BOS *int32  `json:"bos_token_id,omitempty"`
		EOS []int32 `json:"eos_token_id,omitempty"`
		Pad *int32  `json:"pad_token_id,omitempty"`
	}{f.BOS, ids.Stop, f.Pad})
	return config, generation, err
}

// decimal is the shortest number that reads back as v in so many bits, written as
// one that is no integer: Python's libraries tell the two apart.
func decimal(v float64, bits int) json.Number {
	s := strconv.FormatFloat(v, 'g', -1, bits)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return json.Number(s)
}

func given32(id int32) *int32 {
	if id < 0 {
		return nil
	}
	return &id
}

func indented(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}
