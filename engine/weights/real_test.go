package weights

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// realModel finds the pulled SmolLM2-135M-Instruct GGUF or skips the test.
func realModel(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("DLM_TEST_MODEL"); p != "" {
		return p
	}
	dir, err := os.UserCacheDir()
	if err == nil {
		found, _ := filepath.Glob(filepath.Join(dir, "dlm", "models", "smollm2-135m-instruct", "*.gguf"))
		if len(found) > 0 {
			return found[0]
		}
	}
	t.Skip("needs the SmolLM2-135M-Instruct GGUF: set DLM_TEST_MODEL to its path or run `dlm pull smollm2-135m-instruct`")
	return ""
}

func TestRealModelOpens(t *testing.T) {
	c, err := Open(realModel(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Logf("%+v", c.Config)
	want := Config{Arch: "llama", Layers: 30, Hidden: 576, FFN: 1536, Heads: 9, KVHeads: 3, HeadDim: 64, Vocab: 49152,
		MaxSeq: 8192, RopeTheta: 100000, NormEps: 1e-5, Tied: true, Name: c.Config.Name}
	if c.Config != want {
		t.Errorf("config %+v, expected %+v", c.Config, want)
	}
	v, err := c.Vocab()
	if err != nil {
		t.Fatal(err)
	}
	g := v.GGUF
	if len(g.Tokens) != 49152 || len(g.Merges) != 48900 || g.Pre != "smollm" || g.BOS != 1 || g.EOS != 2 || g.AddBOS {
		t.Errorf("vocabulary: %d tokens, %d merges, pre %q, bos %d, eos %d, pad %d, unknown %d, add bos %v", len(g.Tokens), len(g.Merges), g.Pre, g.BOS, g.EOS, g.Pad, g.Unknown, g.AddBOS)
	}
	if c.ChatTemplate() == "" {
		t.Error("no chat template")
	}
	h, err := c.Hash()
	if err != nil || h != "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53" {
		t.Errorf("hash %s, %v", h, err)
	}
	types := map[Type]int{}
	for _, n := range c.Names() {
		w, _ := c.Tensor(n)
		types[w.Type]++
	}
	t.Logf("types %v", types)
}

// TestRealModelDequantisesExactly compares all 134 million values, in Hugging
// Face row order, with the Python package `gguf`; see testdata/dequantise.py.
func TestRealModelDequantisesExactly(t *testing.T) {
	c, err := Open(realModel(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h := sha256.New()
	for _, name := range c.Names() {
		w, err := c.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		h.Write([]byte(name + "\n"))
		row, raw := make([]float32, w.Cols), make([]byte, 4*w.Cols)
		for r := range w.Rows {
			w.RowF32(r, row)
			for i, v := range row {
				binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
			}
			h.Write(raw)
		}
	}
	const want = "789875cc138f15f22b0fcfa665c5cf686451455c6dcd20f91998cef593581bac"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("digest of all values %s, expected %s", got, want)
	}
}
