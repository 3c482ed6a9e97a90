package weights

import (
	"math"
	"path/filepath"
	"testing"
)

const tiny = "../testdata/tiny/"

func openTiny(t testing.TB, name string) *Checkpoint {
	t.Helper()
	c, err := Open(filepath.FromSlash(tiny + name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestTinyConfigs(t *testing.T) {
	llama := Config{Arch: "llama", Layers: 2, Hidden: 64, FFN: 128, Heads: 4, KVHeads: 2, HeadDim: 16, Vocab: 384, MaxSeq: 512,
		RopeTheta: 10000, NormEps: 1e-5, Tied: true}
	llama3 := Config{Arch: "llama", Layers: 2, Hidden: 64, FFN: 96, Heads: 4, KVHeads: 2, HeadDim: 64, Vocab: 400, MaxSeq: 512,
		RopeTheta: 10000, NormEps: 1e-5, RopeScaling: &RopeScaling{8, 1, 4, 32}}
	for name, want := range map[string]Config{
		"llama-tied": llama, "llama-tied-bf16": llama, "llama-tied/q4_1.gguf": llama, "llama-tied/mixed.gguf": llama,
		"llama3-untied": llama3, "llama3-untied/q8_0.gguf": llama3,
	} {
		got := openTiny(t, name).Config
		got.Name = ""
		if s, w := got.RopeScaling, want.RopeScaling; s != nil && w != nil {
			if math.Abs(s.HighFreqFactor-w.HighFreqFactor) > 1e-4 || s.Factor != w.Factor || s.LowFreqFactor != w.LowFreqFactor || s.OriginalMaxSeq != w.OriginalMaxSeq {
				t.Errorf("%s: rope scaling %+v, expected %+v", name, *s, *w)
			}
			got.RopeScaling = w
		}
		if got != want {
			t.Errorf("%s: config %+v, expected %+v", name, got, want)
		}
	}
	qwen3 := Config{Arch: "qwen3", Layers: 2, Hidden: 64, FFN: 96, Heads: 4, KVHeads: 2, HeadDim: 32, Vocab: 392, MaxSeq: 512,
		RopeTheta: 1e6, NormEps: 1e-6, Tied: true, QKNorm: true}
	for _, name := range []string{"qwen3", "qwen3/q8_0.gguf"} {
		got := openTiny(t, name).Config
		if got.Name = ""; got != qwen3 {
			t.Errorf("%s: config %+v, expected %+v", name, got, qwen3)
		}
	}
	for _, name := range []string{"qwen2", "qwen2/q8_0.gguf"} {
		got := openTiny(t, name).Config
		if got.Arch != "qwen2" || !got.QKVBias || got.Layers != 3 || got.HeadDim != 32 || got.KVHeads != 1 {
			t.Errorf("%s: config %+v", name, got)
		}
	}
}
