package weights

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
)

// padded is a vocabulary of as many tokens as the base has rows.
func padded(t testing.TB, c *Checkpoint) GGUFVocab {
	v := GGUFVocab{Pre: "smollm", BOS: 1, EOS: 2, Pad: -1, Unknown: -1}
	for i := range c.Config.Vocab {
		v.Tokens, v.Types = append(v.Tokens, "t"+strings.Repeat("x", i)), append(v.Types, 1)
	}
	v.Merges = []string{"t x"}
	return v
}

// TestGGUFHoldsTheBase: what is written as GGUF opens as the same base with the same
// values but for their rounding, in every type: tensors under llama.cpp's names, rows
// in its order.
func TestGGUFHoldsTheBase(t *testing.T) {
	for _, name := range []string{"llama-tied", "llama-tied/q4_1.gguf", "llama3-untied", "qwen2", "qwen3", "qwen3-untied"} {
		c := openTiny(t, name)
		for format, most := range map[string]float64{"f16": 0, "q8_0": 0.012, "q4_0": 0.2, "q4_k": 0.12} {
			path := filepath.Join(t.TempDir(), "x.gguf")
			err := c.WriteGGUF(path, GGUFOptions{Format: format, Vocab: padded(t, c), EndOfTurn: 3, Template: "{{ x }}", Name: "tiny"})
			if err != nil {
				t.Fatal(name, err)
			}
			back, err := Open(path)
			if err != nil {
				t.Fatal(name, err)
			}
			want, got := c.Config, back.Config
			want.Name, got.Name = "", ""
			if want.RopeScaling != nil && got.RopeScaling != nil && *want.RopeScaling == *got.RopeScaling {
				got.RopeScaling = want.RopeScaling
			}
			if got != want || back.ChatTemplate() != "{{ x }}" {
				t.Errorf("%s as %s: config %+v, expected %+v", name, format, got, want)
			}
			for _, n := range needs(c.Config) {
				a, _ := c.Tensor(n.name)
				b, _ := back.Tensor(n.name)
				if len(a.Shape) == 1 && b.Type != F32 {
					t.Errorf("%s: %s is %s", name, n.name, b.Type)
				}
				bound := most
				if format == "f16" || b.Type == F32 {
					bound = 0
				}
				x, y := a.F32(), b.F32()
				limit := bound * float64(magnitude(x))
				for i, v := range y {
					w := x[i]
					if b.Type == F16 {
						w = rounded(F16, w)
					}
					if d := math.Abs(float64(v) - float64(w)); d > limit {
						t.Fatalf("%s as %s: %s[%d] (%s) is %v, expected %v", name, format, n.name, i, b.Type, v, w)
					}
				}
			}
			back.Close()
		}
	}
}

// TestGGUFTypes: what Q4_K_M of llama.cpp gives the tensors of a base of SmolLM2's
// shape, whose rows of 576 hold no blocks of 256, and of Llama 3's.
func TestGGUFTypes(t *testing.T) {
	f, err := parseGGUFFormat("q4_k")
	if err != nil {
		t.Fatal(err)
	}
	smol := Config{Arch: "llama", Layers: 30, Hidden: 576, FFN: 1536, Heads: 9, KVHeads: 3, HeadDim: 64, Vocab: 49152, Tied: true}
	big := Config{Arch: "llama", Layers: 32, Hidden: 4096, FFN: 14336, Heads: 32, KVHeads: 8, HeadDim: 128, Vocab: 128256}
	for _, c := range []struct {
		config Config
		name   string
		want   Type
	}{
		{smol, "model.embed_tokens.weight", Q8_0}, {smol, "model.layers.0.self_attn.q_proj.weight", Q5_0},
		{smol, "model.layers.0.self_attn.v_proj.weight", Q8_0}, {smol, "model.layers.3.self_attn.v_proj.weight", Q5_0},
		{smol, "model.layers.5.self_attn.v_proj.weight", Q8_0}, {smol, "model.layers.26.mlp.down_proj.weight", Q6_K}, {smol, "model.layers.4.mlp.down_proj.weight", Q4_K},
		{big, "model.embed_tokens.weight", Q4_K}, {big, "lm_head.weight", Q6_K}, {big, "model.layers.31.self_attn.v_proj.weight", Q6_K},
		{big, "model.layers.4.self_attn.v_proj.weight", Q4_K}, {big, "model.layers.4.self_attn.o_proj.weight", Q4_K},
	} {
		for _, n := range needs(c.config) {
			if n.name == c.name {
				if got := f.typeOf(c.config, n, layerOf(n.name)); got != c.want {
					t.Errorf("%s with rows of %d: %s, llama.cpp takes %s", n.name, n.cols, got, c.want)
				}
			}
		}
	}
	if got := fitting(Q4_0, 100); got != F16 {
		t.Errorf("rows of 100 are %s", got)
	}
}

func TestGGUFRefuses(t *testing.T) {
	c := openTiny(t, "llama-tied")
	v := padded(t, c)
	path := filepath.Join(t.TempDir(), "x.gguf")
	expectError(t, c.WriteGGUF(path, GGUFOptions{Format: "q3_k", Vocab: v}), "q3_k", "q4_k", "f16")
	v.Tokens = v.Tokens[1:]
	expectError(t, c.WriteGGUF(path, GGUFOptions{Format: "f16", Vocab: v}), "383", "384")
	expectError(t, c.WriteGGUFLoRA(path, "x", nil), "no matrices")
	expectError(t, c.WriteGGUFLoRA(path, "x", []LoRAPair{{Name: "model.layers.0.self_attn.q_proj.weight", Rank: 2, A: make([]float32, 3), Scale: 1}}), "q_proj", "128")
}

// TestGGUFLoRA: alpha is the file's, what differs from it stands in B, and B of query
// and key has llama.cpp's order.
func TestGGUFLoRA(t *testing.T) {
	c := openTiny(t, "llama-tied")
	pair := func(name string, rank int, scale float64) LoRAPair {
		w, err := c.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		p := LoRAPair{Name: name, Rank: rank, A: make([]float32, rank*w.Cols), B: make([]float32, rank*w.Rows), Scale: scale}
		for i := range p.A {
			p.A[i] = float32(i)
		}
		for i := range p.B {
			p.B[i] = float32(i / rank) // the number of the row
		}
		return p
	}
	path := filepath.Join(t.TempDir(), "x.gguf")
	err := c.WriteGGUFLoRA(path, "tiny", []LoRAPair{pair("model.layers.0.self_attn.q_proj.weight", 4, 2), pair("model.layers.1.mlp.down_proj.weight", 2, 1)})
	if err != nil {
		t.Fatal(err)
	}
	g, err := OpenGGUF(path)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for key, want := range map[string]any{"general.type": "adapter", "adapter.type": "lora", "general.architecture": "llama", "adapter.lora.alpha": float32(8)} {
		if v, _ := g.Value(key); v != want {
			t.Errorf("%s is %v, expected %v", key, v, want)
		}
	}
	q, err := g.Tensor("blk.0.attn_q.weight.lora_b")
	if err != nil {
		t.Fatal(err)
	}
	row := make([]float32, 4)
	for place, want := range []float32{0, 8, 1, 9} { // heads of 16: the halves of a pair side by side
		if q.RowF32(place, row); row[0] != want {
			t.Errorf("row %d of B is row %v, expected %v", place, row[0], want)
		}
	}
	down, err := g.Tensor("blk.1.ffn_down.weight.lora_b")
	if err != nil {
		t.Fatal(err)
	}
	row = row[:2]
	if down.RowF32(12, row); row[0] != 12*1*2/8. {
		t.Errorf("B with another scale holds %v, expected %v", row[0], 12*2/8.)
	}
	if a, err := g.Tensor("blk.1.ffn_down.weight.lora_a"); err != nil || a.Rows != 2 || a.Cols != 128 {
		t.Errorf("A: %+v %v", a, err)
	}
}
