package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func sum(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := sha256.Sum256(raw)
	return hex.EncodeToString(s[:])
}

func TestHash(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("DLM_CACHE", cache)
	c := openTiny(t, "llama-tied/q4_1.gguf")
	h, err := c.Hash()
	if err != nil || h != "sha256:"+sum(t, c.Path) {
		t.Errorf("GGUF hash %s, %v", h, err)
	}
	f := openTiny(t, "llama-tied-bf16")
	text := ""
	for _, n := range []string{"config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"} {
		text += fmt.Sprintf("%s  %s\n", sum(t, filepath.Join(f.Path, n)), n)
	}
	want := sha256.Sum256([]byte(text))
	if h, err = f.Hash(); err != nil || h != "sha256:"+hex.EncodeToString(want[:]) {
		t.Errorf("folder hash %s, %v", h, err)
	}
}

func TestHashCache(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("DLM_CACHE", cache)
	meta, tensors := tinyGGUF()
	path := writeGGUF(t, meta, tensors)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	first, err := fileHash(path)
	if err != nil {
		t.Fatal(err)
	}
	abs, _ := filepath.Abs(path)
	entry, ok := readEntryFile(cachePath(abs))
	if !ok || entry.SHA256 != first {
		t.Fatalf("the cache holds %+v", entry)
	}
	// The cached digest is used while size and time are the same ...
	entry.SHA256 = hex.EncodeToString(make([]byte, 32))
	writeEntryFile(cachePath(abs), entry)
	if got, _ := fileHash(path); got != entry.SHA256 {
		t.Error("the cache was not used")
	}
	// ... and not when the file was touched.
	if err := os.Chtimes(path, old.Add(time.Second), old.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if got, _ := fileHash(path); got != first {
		t.Errorf("after a change of time the digest is %s, expected %s", got, first)
	}
	// A damaged entry costs time only.
	if err := os.WriteFile(cachePath(abs), []byte(`{"sha256":"xx"`), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, _ := fileHash(path); got != first {
		t.Error("a damaged cache entry changed the digest")
	}
	// A file that was just written is not cached.
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
	os.Remove(cachePath(abs))
	if _, err := fileHash(path); err != nil {
		t.Fatal(err)
	}
	if _, ok := readEntryFile(cachePath(abs)); ok {
		t.Error("the digest of a file that was just written was cached")
	}
}
