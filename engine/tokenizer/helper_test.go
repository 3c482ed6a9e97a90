package tokenizer

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// readGzip returns the content of a packed file.
func readGzip(tb testing.TB, path string) []byte {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	return b
}

var smolOnce = sync.OnceValues(func() (*Tokenizer, error) {
	f, err := os.Open("testdata/smollm2/tokenizer.json.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	cfg, err := os.ReadFile("testdata/smollm2/tokenizer_config.json")
	if err != nil {
		return nil, err
	}
	return FromJSON(b, cfg)
})

// smol is the tokenizer of SmolLM2.
func smol(tb testing.TB) *Tokenizer {
	tb.Helper()
	t, err := smolOnce()
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// tinyCase is a string and the ids that the reference gives it.
type tinyCase struct {
	Text  string  `json:"text"`
	IDs   []int32 `json:"ids"`
	Plain []int32 `json:"plain"`
}

// tiny is one of the vocabularies of testdata/tiny.
type tiny struct {
	Tokenizer json.RawMessage `json:"tokenizer"`
	Cases     []tinyCase      `json:"cases"`
}

func readTiny(tb testing.TB, name string) tiny {
	tb.Helper()
	var v tiny
	if err := json.Unmarshal(readGzip(tb, filepath.Join("testdata/tiny", name+".json.gz")), &v); err != nil {
		tb.Fatal(err)
	}
	return v
}

// edited returns a tokenizer.json changed by edit.
func edited(tb testing.TB, raw []byte, edit func(doc map[string]any)) []byte {
	tb.Helper()
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		tb.Fatal(err)
	}
	edit(doc)
	b, err := json.Marshal(doc)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
