package tokenizer

import (
	"os"
	"slices"
	"testing"
)

// TestGGUFKeepsTheTokenizer: written as GGUF metadata and read back, a tokenizer
// gives the same ids, with and without rows of the embedding to fill.
func TestGGUFKeepsTheTokenizer(t *testing.T) {
	for _, base := range []string{"llama-tied", "llama3-untied", "qwen2", "qwen3"} {
		dir := "../testdata/tiny/" + base + "/"
		js, err := os.ReadFile(dir + "tokenizer.json")
		if err != nil {
			t.Fatal(err)
		}
		conf, err := os.ReadFile(dir + "tokenizer_config.json")
		if err != nil {
			t.Fatal(err)
		}
		tok, err := FromJSON(js, conf)
		if err != nil {
			t.Fatal(err)
		}
		same, err := New(tok.GGUF(0))
		if err != nil {
			t.Fatal(base, err)
		}
		if same.Hash() != tok.Hash() || same.EOS() != tok.EOS() || same.BOS() != tok.BOS() || same.Pad() != tok.Pad() {
			t.Errorf("%s: another tokenizer came back", base)
		}
		more, err := New(tok.GGUF(tok.Size() + 9))
		if err != nil {
			t.Fatal(base, err)
		}
		if more.Size() != tok.Size()+9 {
			t.Errorf("%s: %d ids", base, more.Size())
		}
		for _, text := range []string{"Hello, 12345 naïve  wörld\n\n", "<|im_start|>user [PAD400] \u00e9e\u0301", "[PAD384]"} {
			if a, b := tok.EncodeSpecial(text), more.EncodeSpecial(text); !slices.Equal(a, b) {
				t.Errorf("%s: %q is %v, read back %v", base, text, a, b)
			}
		}
	}
}
