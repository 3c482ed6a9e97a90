package native

import (
	"path/filepath"
	"testing"
)

// The alphabet of the tokenizer that benchmarks get covers every byte.
func TestBenchBaseTokenizer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if _, err := WriteBenchBase(path, "tiny", "q8_0", 1); err != nil {
		t.Fatal(err)
	}
	n, err := Open(path, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var text []byte
	for b := range 256 {
		text = append(text, byte(b))
	}
	ids := n.tok.Encode(string(text))
	if len(ids) != 256 {
		t.Fatalf("256 bytes are %d tokens", len(ids))
	}
	var back []byte
	for _, id := range ids {
		back = append(back, n.tok.Piece(id)...)
	}
	if string(back) != string(text) {
		t.Errorf("bytes came back as %q", back)
	}
	if n.tmpl == nil || len(n.id.StopIDs) == 0 {
		t.Error("no chat template or no stop token")
	}
}
