package weights

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dlm/engine/kernel"
)

// tinyGGUF returns metadata and tensors of a small valid llama base, for tests
// that break it: 1 layer, hidden 32, 2 heads of 16, 1 key-value head, 64 tokens.
func tinyGGUF() ([]KV, []Named) {
	meta := []KV{
		{"general.architecture", "llama"}, {"general.name", "broken on purpose"}, {"llama.block_count", uint32(1)},
		{"llama.embedding_length", uint32(32)}, {"llama.feed_forward_length", uint32(32)}, {"llama.context_length", uint32(128)},
		{"llama.attention.head_count", uint32(2)}, {"llama.attention.head_count_kv", uint32(1)}, {"llama.rope.freq_base", float32(10000)},
		{"llama.attention.layer_norm_rms_epsilon", float32(1e-5)}, {"tokenizer.ggml.model", "gpt2"}, {"tokenizer.ggml.tokens", []string{"a", "b"}},
		{"tokenizer.ggml.token_type", []int32{1, 3}}, {"tokenizer.ggml.merges", []string{"a b"}}, {"tokenizer.ggml.bos_token_id", uint32(1)},
	}
	v := func(name string, n int) Named { return filled(name, F32, []int{n}) }
	m := func(name string, t Type, r, c int) Named { return filled(name, t, []int{r, c}) }
	return meta, []Named{
		m("token_embd.weight", Q8_0, 64, 32), v("output_norm.weight", 32), v("blk.0.attn_norm.weight", 32), v("blk.0.ffn_norm.weight", 32),
		m("blk.0.attn_q.weight", Q4_1, 32, 32), m("blk.0.attn_k.weight", Q4_0, 16, 32), m("blk.0.attn_v.weight", F16, 16, 32),
		m("blk.0.attn_output.weight", BF16, 32, 32), m("blk.0.ffn_gate.weight", Q4_1, 32, 32), m("blk.0.ffn_up.weight", Q4_1, 32, 32),
		m("blk.0.ffn_down.weight", F32, 32, 32),
	}
}

// filled makes a tensor whose bytes depend on its name.
func filled(name string, t Type, shape []int) Named {
	rows, cols, _ := foldShape(shape)
	per, size := t.Block()
	data := make([]byte, rows*cols/per*size)
	for i := range data {
		data[i] = byte(i*7+len(name)*13) & 0x3f
	}
	return Named{name, t, shape, data}
}

// tinyFolder writes a valid qwen2 folder in f32 and returns its path.
func tinyFolder(t testing.TB, config string) string {
	dir := t.TempDir()
	if config == "" {
		config = qwenConfig
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteSafetensors(filepath.Join(dir, "model.safetensors"), qwenTensors(), map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	return dir
}

const qwenConfig = `{"model_type":"qwen2","architectures":["Qwen2ForCausalLM"],"hidden_size":8,"intermediate_size":12,"num_hidden_layers":1,
"num_attention_heads":2,"num_key_value_heads":1,"vocab_size":10,"max_position_embeddings":64,"rms_norm_eps":1e-6,"rope_theta":1000000.0,
"hidden_act":"silu","tie_word_embeddings":true}`

func qwenTensors() []Named {
	c := Config{Arch: "qwen2", Layers: 1, Hidden: 8, FFN: 12, Heads: 2, KVHeads: 1, HeadDim: 4, Vocab: 10, Tied: true, QKVBias: true}
	var out []Named
	for _, n := range needs(c) {
		shape := []int{n.rows, n.cols}
		if n.rows == 1 {
			shape = []int{n.cols}
		}
		out = append(out, filled(n.name, F32, shape))
	}
	return out
}

// without drops the named tensor.
func without(ts []Named, name string) []Named {
	return slices.DeleteFunc(slices.Clone(ts), func(n Named) bool { return n.Name == name })
}

// expectError fails unless err mentions every part.
func expectError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; expected one that mentions %q", parts)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not mention %q", err, p)
		}
	}
}

func le16(f float32) []byte {
	return binary.LittleEndian.AppendUint16(nil, kernel.F16FromF32(f))
}
