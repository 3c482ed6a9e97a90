package weights

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const llamaHead = `"model_type":"llama","architectures":["LlamaForCausalLM"],"hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,
"num_attention_heads":4,"vocab_size":384,"max_position_embeddings":512,"rms_norm_eps":1e-05`

func TestConfigFromJSON(t *testing.T) {
	plain := Config{Arch: "llama", Layers: 2, Hidden: 64, FFN: 128, Heads: 4, KVHeads: 4, HeadDim: 16, Vocab: 384, MaxSeq: 512, RopeTheta: 10000, NormEps: 1e-5}
	with := func(f func(c *Config)) Config { c := plain; f(&c); return c }
	llama3 := &RopeScaling{8, 1, 4, 8192}
	for extra, want := range map[string]Config{
		``: plain,
		`,"head_dim":null,"rope_scaling":null,"rope_parameters":null`: plain,
		`,"rope_theta":500000.0`: with(func(c *Config) { c.RopeTheta = 500000 }),
		`,"rope_parameters":{"rope_theta":500000.0,"rope_type":"default"}`:                  with(func(c *Config) { c.RopeTheta = 500000 }),
		`,"rope_theta":5e5,"rope_parameters":{"rope_theta":500000.0,"rope_type":"default"}`: with(func(c *Config) { c.RopeTheta = 500000 }),
		`,"rope_scaling":{"type":"default"}`:                                                plain,
		`,"rope_theta":7.0,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192}`:    with(func(c *Config) { c.RopeTheta, c.RopeScaling = 7, llama3 }),
		`,"rope_parameters":{"rope_theta":7.0,"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192}`: with(func(c *Config) { c.RopeTheta, c.RopeScaling = 7, llama3 }),
		`,"head_dim":32,"num_key_value_heads":2`:                                             with(func(c *Config) { c.HeadDim, c.KVHeads = 32, 2 }),
		`,"tie_word_embeddings":true`:                                                        with(func(c *Config) { c.Tied = true }),
		`,"hidden_act":"silu","mlp_bias":false,"attention_bias":false,"_name_or_path":"x/y"`: with(func(c *Config) { c.Name = "x/y" }),
	} {
		got, err := configFromJSON([]byte("{" + llamaHead + extra + "}"))
		if err != nil {
			t.Errorf("%s: %v", extra, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", extra, d)
		}
	}
	got, err := configFromJSON([]byte(qwenConfig))
	if err != nil || !got.QKVBias || !got.Tied || got.HeadDim != 4 || got.RopeTheta != 1000000 {
		t.Errorf("qwen2: %+v, %v", got, err)
	}
	qwen3 := strings.NewReplacer("qwen2", "qwen3", "Qwen2", "Qwen3").Replace(qwenConfig)
	got, err = configFromJSON([]byte(qwen3))
	if err != nil || got.QKVBias || !got.QKNorm || got.HeadDim != 128 { // 128 is transformers' default there
		t.Errorf("qwen3: %+v, %v", got, err)
	}
	_, err = configFromJSON([]byte(strings.Replace(qwen3, "{", `{"attention_bias":true,`, 1)))
	expectError(t, err, "attention_bias", "qwen3")
}

func TestConfigRefusals(t *testing.T) {
	for extra, parts := range map[string][]string{
		`,"hidden_act":"gelu"`:                                 {"hidden_act", "gelu", "silu"},
		`,"rope_scaling":{"type":"yarn","factor":4.0}`:         {"rope_scaling", "yarn", "llama3"},
		`,"rope_scaling":{"rope_type":"dynamic","factor":4.0}`: {"rope_scaling", "dynamic"},
		`,"rope_scaling":{"factor":2.0}`:                       {"rope_scaling", "no rope_type"},
		`,"rope_scaling":{"rope_type":"llama3","factor":8.0}`:  {"rope_scaling", "low_freq_factor"},
		`,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":4.0,"high_freq_factor":1.0,"original_max_position_embeddings":8192}`: {"low < high"},
		`,"rope_parameters":{"rope_type":"linear","factor":4.0,"rope_theta":1e4}`:                                                                  {"rope_parameters", "linear"},
		`,"rope_theta":10000.0,"rope_parameters":{"rope_theta":20000.0}`:                                                                           {"rope_theta", "10000", "20000"},
		`,"rope_scaling":{"type":"default"},"rope_parameters":{"rope_type":"default","rope_theta":10000.0}`:                                        {"both"},
		`,"attention_bias":true`:       {"attention_bias"},
		`,"mlp_bias":true`:             {"mlp_bias"},
		`,"partial_rotary_factor":0.5`: {"partial_rotary_factor"},
		`,"rope_parameters":{"rope_type":"default","partial_rotary_factor":0.5}`: {"partial_rotary_factor"},
		`,"quantization_config":{"bits":4}`:                                      {"quantization_config"},
		`,"use_sliding_window":true`:                                             {"sliding"},
		`,"layer_types":["sliding_attention"]`:                                   {"sliding_attention"},
		`,"num_key_value_heads":3`:                                               {"not a multiple"},
		`,"head_dim":15`:                                                         {"odd"},
		`,"num_hidden_layers":0`:                                                 {"layers", "0"},
		`,"num_hidden_layers":-1`:                                                {"layers"},
		`,"vocab_size":99999999999`:                                              {"vocabulary"},
		`,"rms_norm_eps":0`:                                                      {"epsilon"},
		`,"rope_theta":-1`:                                                       {"theta"},
		`,"hidden_size":"64"`:                                                    {"hidden_size"},
		`,"model_type":"mistral"`:                                                {"mistral", "llama, qwen2 and qwen3"},
		`,"architectures":["LlamaForSequenceClassification"]`:                    {"LlamaForSequenceClassification"},
	} {
		_, err := configFromJSON([]byte("{" + llamaHead + extra + "}"))
		if err == nil {
			t.Errorf("%s: accepted", extra)
			continue
		}
		expectError(t, err, parts...)
	}
	if _, err := configFromJSON([]byte("{")); err == nil {
		t.Error("broken JSON was accepted")
	}
	if _, err := configFromJSON([]byte(strings.Replace("{"+llamaHead+"}", `"hidden_size":64`, `"hidden_size":66`, 1))); err == nil {
		t.Error("heads that do not divide the hidden size were accepted")
	}
}

// TestRopeScalingIsRecovered writes the divisors of known settings as a GGUF
// would hold them and expects the settings, or their equivalent, back.
func TestRopeScalingIsRecovered(t *testing.T) {
	c := &Config{HeadDim: 64, RopeTheta: 500000}
	for _, s := range []RopeScaling{{8, 1, 4, 8192}, {32, 1, 4, 8192}, {8, 1, 4, 4096}, {16, 2, 8, 8192}, {4, 1, 3.5, 2048}} {
		div := make([]float32, c.HeadDim/2)
		for i := range div {
			div[i] = float32(s.divisor(ropeFreq(c, i)))
		}
		c.RopeScaling = nil
		w := NamedF32("rope_freqs.weight", []int{len(div)}, div)
		tensor, err := newTensor(w.Name, w.Type, w.Shape, w.Data)
		if err != nil {
			t.Fatal(err)
		}
		g := &GGUF{tensors: map[string]*Tensor{w.Name: tensor}}
		if err := ggufRopeScaling(g, c); err != nil {
			t.Errorf("%+v: %v", s, err)
			continue
		}
		for i := range div {
			want, got := s.divisor(ropeFreq(c, i)), c.RopeScaling.divisor(ropeFreq(c, i))
			if d := got/want - 1; d > 1e-5 || d < -1e-5 {
				t.Errorf("%+v came back as %+v: pair %d is divided by %v, expected %v", s, *c.RopeScaling, i, got, want)
			}
		}
	}
	w := NamedF32("rope_freqs.weight", []int{32}, make([]float32, 32))
	for i := range 32 {
		copy(w.Data[4*i:], NamedF32("", nil, []float32{1 + float32(i%5)}).Data)
	}
	tensor, _ := newTensor(w.Name, w.Type, w.Shape, w.Data)
	expectError(t, ggufRopeScaling(&GGUF{tensors: map[string]*Tensor{w.Name: tensor}}, c), "rope_freqs.weight", "not supported")
}
