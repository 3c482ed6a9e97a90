package weights

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTinyGGUFsHoldTheBase compares every tensor of the committed GGUF files with
// what transformers saw of the same dequantised weights: sums of all, and the
// first row of layer 0, which shows the order of query and key rows.
func TestTinyGGUFsHoldTheBase(t *testing.T) {
	for _, name := range []string{"llama-tied/q4_1", "llama-tied/mixed", "llama3-untied/q8_0", "qwen2/q8_0", "qwen3/q8_0"} {
		var golden struct {
			Sum  map[string]float64   `json:"sum"`
			Row0 map[string][]float64 `json:"row0"`
		}
		raw, err := os.ReadFile(filepath.FromSlash(tiny + name + ".golden.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &golden); err != nil {
			t.Fatal(err)
		}
		if len(golden.Sum) == 0 || len(golden.Row0) == 0 {
			t.Fatalf("%s.golden.json holds no sums or rows", name)
		}
		c := openTiny(t, name+".gguf")
		for tensor, want := range golden.Sum {
			w, err := c.Tensor(tensor)
			if err != nil {
				if c.Config.Tied && tensor == "lm_head.weight" {
					continue
				}
				t.Fatal(err)
			}
			sum := 0.0
			for _, v := range w.F32() {
				sum += float64(v)
			}
			if math.Abs(sum-want) > 1e-3*(1+math.Abs(want)) {
				t.Errorf("%s: %s sums to %v, expected %v", name, tensor, sum, want)
			}
		}
		for tensor, want := range golden.Row0 {
			w, err := c.Tensor(tensor)
			if err != nil {
				t.Fatal(err)
			}
			row := make([]float32, w.Cols)
			w.RowF32(0, row)
			for i, v := range want {
				if math.Abs(float64(row[i])-v) > 1e-6 {
					t.Errorf("%s: %s[0][%d] is %v, expected %v", name, tensor, i, row[i], v)
					break
				}
			}
		}
	}
}

// TestGGUFRowsFollowTheFolder checks all rows of q and k: the quantised GGUF must
// stay close to the same base's safetensors, which a wrong order would not.
func TestGGUFRowsFollowTheFolder(t *testing.T) {
	for gguf, folder := range map[string]string{"llama-tied/mixed.gguf": "llama-tied", "llama3-untied/q8_0.gguf": "llama3-untied", "qwen2/q8_0.gguf": "qwen2", "qwen3/q8_0.gguf": "qwen3"} {
		g, f := openTiny(t, gguf), openTiny(t, folder)
		for _, name := range g.Names() {
			if harmless(name) {
				continue
			}
			a, err := g.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			b, err := f.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			x, y := a.F32(), b.F32()
			var diff, size float64
			for i := range x {
				diff += math.Abs(float64(x[i] - y[i]))
				size += math.Abs(float64(y[i]))
			}
			if diff > 0.12*size {
				t.Errorf("%s: %s differs from the folder by %.3f of its size", gguf, name, diff/size)
			}
		}
	}
}

func TestShardsEqualOneFile(t *testing.T) {
	a, b := openTiny(t, "llama-tied"), openTiny(t, "llama-tied-bf16")
	if !slices.Equal(a.Names(), b.Names()) {
		t.Fatal("other names")
	}
	for _, n := range a.Names() {
		x, _ := a.Tensor(n)
		y, _ := b.Tensor(n)
		if !slices.Equal(x.F32(), y.F32()) || x.Type != F32 || y.Type != BF16 {
			t.Errorf("%s differs (%s, %s)", n, x.Type, y.Type)
		}
	}
}

func writeGGUF(t *testing.T, meta []KV, tensors []Named) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := WriteGGUF(path, meta, tensors); err != nil {
		t.Fatal(err)
	}
	return path
}

func set(meta []KV, key string, v any) []KV {
	meta = slices.DeleteFunc(slices.Clone(meta), func(kv KV) bool { return kv.Key == key })
	if v == nil {
		return meta
	}
	return append(meta, KV{key, v})
}

func TestOpenGGUFChecks(t *testing.T) {
	meta, tensors := tinyGGUF()
	c, err := Open(writeGGUF(t, meta, tensors))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	change := func(name string, f func(n *Named)) []Named {
		out := slices.Clone(tensors)
		for i := range out {
			if out[i].Name == name {
				f(&out[i])
			}
		}
		return out
	}
	for what, tc := range map[string]struct {
		meta    []KV
		tensors []Named
		parts   []string
	}{
		"missing tensor":    {meta, without(tensors, "blk.0.ffn_up.weight"), []string{"missing", "model.layers.0.mlp.up_proj.weight"}},
		"missing embedding": {meta, without(tensors, "token_embd.weight"), []string{"token_embd.weight", "missing"}},
		"unused tensor":     {meta, append(slices.Clone(tensors), filled("blk.0.ffn_gate_inp.weight", F32, []int{2, 32})), []string{"not used", "ffn_gate_inp"}},
		"second layer":      {meta, append(slices.Clone(tensors), filled("blk.1.attn_norm.weight", F32, []int{32})), []string{"not used", "layers.1"}},
		"wrong shape":       {meta, change("blk.0.attn_v.weight", func(n *Named) { *n = filled(n.Name, F32, []int{32, 16}) }), []string{"v_proj", "[32 16]", "[16 32]"}},
		"norm as matrix":    {meta, change("output_norm.weight", func(n *Named) { n.Shape = []int{1, 32} }), []string{"model.norm.weight", "[32]"}},
		"too many layers":   {set(meta, "llama.block_count", uint32(4000)), tensors, []string{"4000 layers"}},
		"huge layer count":  {set(meta, "llama.block_count", uint32(4e9)), tensors, []string{"block_count"}},
		"no layers":         {set(meta, "llama.block_count", uint32(0)), tensors, []string{"layers is 0"}},
		"no head count":     {set(meta, "llama.attention.head_count", nil), tensors, []string{"head_count is missing"}},
		"zero heads":        {set(meta, "llama.attention.head_count", uint32(0)), tensors, []string{"heads"}},
		"heads per layer":   {set(meta, "llama.attention.head_count", []int32{2}), tensors, []string{"head_count", "whole number"}},
		"no epsilon":        {set(meta, "llama.attention.layer_norm_rms_epsilon", nil), tensors, []string{"epsilon"}},
		"architecture":      {set(meta, "general.architecture", "gemma3"), tensors, []string{"gemma3", "llama, qwen2 and qwen3"}},
		"yarn":              {set(meta, "llama.rope.scaling.type", "yarn"), tensors, []string{"yarn"}},
		"linear factor":     {set(meta, "llama.rope.scaling.factor", float32(2)), tensors, []string{"scaling.factor"}},
		"partial rotary":    {set(meta, "llama.rope.dimension_count", uint32(8)), tensors, []string{"partial"}},
		"experts":           {set(meta, "llama.expert_count", uint32(8)), tensors, []string{"experts"}},
		"window":            {set(meta, "llama.attention.sliding_window", uint32(8)), tensors, []string{"sliding"}},
		"vocabulary size":   {set(meta, "llama.vocab_size", uint32(65)), tensors, []string{"vocab_size is 65", "64 rows"}},
		"rope_freqs length": {meta, append(slices.Clone(tensors), filled("rope_freqs.weight", F32, []int{5})), []string{"rope_freqs"}},
	} {
		c, err := Open(writeGGUF(t, tc.meta, tc.tensors))
		if err == nil {
			c.Close()
			t.Errorf("%s: accepted", what)
			continue
		}
		expectError(t, err, tc.parts...)
	}
}

func TestGGUFVocabChecks(t *testing.T) {
	meta, tensors := tinyGGUF()
	for what, tc := range map[string]struct {
		key   string
		v     any
		parts []string
	}{
		"sentencepiece":   {"tokenizer.ggml.model", "llama", []string{"gpt2"}},
		"no tokens":       {"tokenizer.ggml.tokens", nil, []string{"tokens"}},
		"tokens as ids":   {"tokenizer.ggml.tokens", []int32{1}, []string{"tokens", "[]string"}},
		"too many tokens": {"tokenizer.ggml.tokens", make([]string, 65), []string{"65 tokens", "64 rows"}},
		"types":           {"tokenizer.ggml.token_type", []int32{1}, []string{"token types"}},
		"end of sequence": {"tokenizer.ggml.eos_token_id", uint32(2), []string{"eos_token_id is 2"}},
		"bad UTF-8":       {"tokenizer.ggml.tokens", []string{"\xff", "b"}, []string{"UTF-8"}},
		"add bos":         {"tokenizer.ggml.add_bos_token", uint8(1), []string{"add_bos_token"}},
	} {
		c, err := Open(writeGGUF(t, set(meta, tc.key, tc.v), tensors))
		if err != nil {
			t.Errorf("%s: the base itself was refused: %v", what, err)
			continue
		}
		_, err = c.Vocab()
		expectError(t, err, append(tc.parts, c.Path)...)
		c.Close()
	}
	c, err := Open(writeGGUF(t, set(meta, "tokenizer.chat_template", "{{ x }}"), tensors))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := c.Vocab()
	if err != nil || v.GGUF.BOS != 1 || v.GGUF.EOS != -1 || v.GGUF.Unknown != -1 || c.ChatTemplate() != "{{ x }}" {
		t.Errorf("vocabulary %+v, template %q, %v", v.GGUF, c.ChatTemplate(), err)
	}
}

func TestOpenFolderChecks(t *testing.T) {
	write := func(dir, name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tensors := func(dir string, ts []Named) {
		if err := WriteSafetensors(filepath.Join(dir, "model.safetensors"), ts, nil); err != nil {
			t.Fatal(err)
		}
	}
	head := filled("lm_head.weight", F32, []int{10, 8})
	embed := head
	for _, n := range qwenTensors() {
		if n.Name == "model.embed_tokens.weight" {
			embed.Data = n.Data
		}
	}
	for what, tc := range map[string]struct {
		change func(dir string)
		parts  []string // nil = accepted
	}{
		"as it is": {func(string) {}, nil},
		"inv_freq": {func(d string) {
			tensors(d, append(qwenTensors(), filled("model.layers.0.self_attn.rotary_emb.inv_freq", F32, []int{2})))
		}, nil},
		"equal head":    {func(d string) { tensors(d, append(qwenTensors(), embed)) }, nil},
		"no config":     {func(d string) { os.Remove(filepath.Join(d, "config.json")) }, []string{"config.json"}},
		"broken config": {func(d string) { write(d, "config.json", "{") }, []string{"config.json"}},
		"no weights":    {func(d string) { os.Remove(filepath.Join(d, "model.safetensors")) }, []string{"model.safetensors.index.json"}},
		"other head":    {func(d string) { tensors(d, append(qwenTensors(), head)) }, []string{"tie_word_embeddings", "lm_head"}},
		"no bias":       {func(d string) { tensors(d, without(qwenTensors(), "model.layers.0.self_attn.k_proj.bias")) }, []string{"missing", "k_proj.bias"}},
		"output bias": {func(d string) {
			tensors(d, append(qwenTensors(), filled("model.layers.0.self_attn.o_proj.bias", F32, []int{8})))
		}, []string{"not used", "o_proj.bias"}},
		"not tied":      {func(d string) { write(d, "config.json", strings.Replace(qwenConfig, `:true`, `:false`, 1)) }, []string{"missing", "lm_head.weight"}},
		"bad template":  {func(d string) { write(d, "tokenizer_config.json", `{"chat_template":7}`) }, []string{"tokenizer_config.json", "chat_template"}},
		"empty weights": {func(d string) { write(d, "model.safetensors", "") }, []string{"empty"}},
		"weights folder": {func(d string) {
			os.Remove(filepath.Join(d, "model.safetensors"))
			os.Mkdir(filepath.Join(d, "model.safetensors"), 0o755)
		}, []string{"regular file"}},
	} {
		dir := tinyFolder(t, "")
		tc.change(dir)
		c, err := Open(dir)
		if err == nil {
			c.Close()
		}
		if tc.parts == nil {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: accepted", what)
			continue
		}
		expectError(t, err, tc.parts...)
	}
	_, err := Open(filepath.Join(tinyFolder(t, ""), "model.safetensors"))
	expectError(t, err, "give the folder")
	_, err = Open(filepath.Join(t.TempDir(), "nothing"))
	expectError(t, err, "nothing")
}

func TestShardIndexChecks(t *testing.T) {
	for what, tc := range map[string]struct {
		index string
		parts []string
	}{
		"outside":       {`{"weight_map":{"a":"../x.safetensors"}}`, []string{"../x.safetensors"}},
		"absolute":      {`{"weight_map":{"a":"/etc/x.safetensors"}}`, []string{"/etc"}},
		"pickle":        {`{"weight_map":{"a":"pytorch_model.bin"}}`, []string{"pytorch_model.bin"}},
		"twice":         {`{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}`, []string{"twice"}},
		"empty":         {`{"weight_map":{}}`, []string{"empty"}},
		"no map":        {`{}`, []string{"weight_map"}},
		"missing shard": {`{"weight_map":{"a":"x.safetensors"}}`, []string{"x.safetensors"}},
		"wrong shard":   {`{"weight_map":{"a":"w.safetensors"}}`, []string{"not listed"}},
	} {
		dir := tinyFolder(t, "")
		if err := os.Rename(filepath.Join(dir, "model.safetensors"), filepath.Join(dir, "w.safetensors")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "model.safetensors.index.json"), []byte(tc.index), 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := Open(dir)
		if err == nil {
			c.Close()
			t.Errorf("%s: accepted", what)
			continue
		}
		expectError(t, err, tc.parts...)
	}
}

func TestChatTemplateOfFolders(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"":       {},
		"plain":  {"tokenizer_config.json": `{"chat_template":"plain"}`},
		"listed": {"tokenizer_config.json": `{"chat_template":[{"name":"tool_use","template":"no"},{"name":"default","template":"listed"}]}`},
		"file":   {"tokenizer_config.json": `{"chat_template":"plain"}`, "chat_template.jinja": "file"},
	} {
		dir := tinyFolder(t, "")
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		c, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if c.ChatTemplate() != want {
			t.Errorf("template %q, expected %q", c.ChatTemplate(), want)
		}
		if _, err := c.Vocab(); err == nil {
			t.Error("a folder without tokenizer.json has a vocabulary")
		}
		c.Close()
	}
	c := openTiny(t, "qwen2")
	v, err := c.Vocab()
	if err != nil || len(v.TokenizerJSON) == 0 || len(v.TokenizerConfig) == 0 || c.ChatTemplate() == "" {
		t.Error("the tiny qwen2 folder's tokenizer was not read:", err)
	}
}
