package native

import (
	"context"
	"path/filepath"
	"testing"

	"dlm"
)

// TestQuantizedBase: a base that is quantised as it is loaded answers, takes less
// memory, and is another base to adapters and to the store.
func TestQuantizedBase(t *testing.T) {
	t.Setenv("DLM_CACHE", t.TempDir())
	plain, nf4 := open(t, "llama-tied", Options{}), open(t, "llama-tied", Options{Quantize: "nf4"})
	if got, want := nf4.Digest(), Quantized(plain.Digest(), "nf4"); got != want || got == plain.Digest() {
		t.Errorf("the quantised base is %s, expected %s, another than %s", got, want, plain.Digest())
	}
	if _, err := dlm.ParseDigest(string(nf4.Digest())); err != nil {
		t.Error(err)
	}
	if Quantized(plain.Digest(), "none") != plain.Digest() {
		t.Error("a base that is not quantised has another digest")
	}
	if nf4.WeightBytes() >= plain.WeightBytes() {
		t.Errorf("the quantised base takes %d bytes, the base %d", nf4.WeightBytes(), plain.WeightBytes())
	}
	scored, err := nf4.Score(context.Background(), []dlm.ScoreRequest{{Raw: "Hello there, how", Completion: " are you?"}})
	if err != nil || len(scored) != 1 {
		t.Fatalf("%v, %v", scored, err)
	}
	p := dlm.PulledModel{Ref: "tiny", Path: plain.Path(), Digest: plain.Digest()}
	n, err := OpenPulled(p, Options{Quantize: "nf4"})
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
	_, err = Open(filepath.Join(tinyDir, "llama-tied"), Options{Quantize: "int3"})
	wants(t, err, "quantize", "int3", "nf4")
	_, err = Open(filepath.Join(tinyDir, "llama-tied", "q4_1.gguf"), Options{Quantize: "nf4"})
	wants(t, err, "Q4_1", "16 or 32 bits", "without quantize")
	_, err = Open(filepath.Join(tinyDir, "qwen2"), Options{Quantize: "nf4"})
	wants(t, err, "96", "multiple of 64")
}
