package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Hash names the base: "sha256:" and 64 hex digits. For a GGUF file it is the
// file's own sha256. For a folder it is the sha256 of the text that
// `sha256sum config.json FILE...` prints, with the weight files that are used in
// sorted order, since the config decides the forward pass as much as they do.
//
// A base that is quantised at load has a hash of its own: NF4Hash of that.
//
// File digests are cached in the user's cache folder by path, size and
// modification time; a cache that cannot be written costs only time.
func (c *Checkpoint) Hash() (string, error) {
	h, err := c.fileHash()
	if err == nil && c.nf4 {
		h = NF4Hash(h)
	}
	return h, err
}

// fileHash is Hash of the base as its files have it.
func (c *Checkpoint) fileHash() (string, error) {
	if !c.folder {
		sum, err := fileHash(c.Path)
		return "sha256:" + sum, err
	}
	manifest := sha256.New()
	for _, f := range c.files {
		sum, err := fileHash(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(manifest, "%s  %s\n", sum, filepath.Base(f))
	}
	return "sha256:" + hex.EncodeToString(manifest.Sum(nil)), nil
}

// hashEntry is one cached digest, a small file of its own.
type hashEntry struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	MTime  int64  `json:"mtime_ns"`
	SHA256 string `json:"sha256"`
}

// settle is how old a modification must be before a digest is cached: a later
// write within the clock's grain would leave size and time as they are.
const settle = 2 * time.Second

// fileHash returns the hex sha256 of a file.
func fileHash(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	want := hashEntry{Size: st.Size(), MTime: st.ModTime().UnixNano()}
	if want.Path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	cached := cachePath(want.Path)
	if e, ok := readEntryFile(cached); ok && e.Path == want.Path && e.Size == want.Size && e.MTime == want.MTime {
		return e.SHA256, nil
	}
	h := sha256.New()
	if _, err := io.CopyBuffer(h, f, make([]byte, 1<<20)); err != nil {
		return "", fmt.Errorf("hash %s: %w", path, err)
	}
	want.SHA256 = hex.EncodeToString(h.Sum(nil))
	after, err := os.Stat(path)
	if err == nil && after.Size() == want.Size && after.ModTime().UnixNano() == want.MTime && time.Since(after.ModTime()) > settle {
		writeEntryFile(cached, want)
	}
	return want.SHA256, nil
}

// cachePath is where the digest of a file is cached: $DLM_CACHE/hashes, else the
// user's cache folder; empty where there is none.
func cachePath(path string) string {
	root := os.Getenv("DLM_CACHE")
	if root == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		root = filepath.Join(dir, "dlm")
	}
	key := sha256.Sum256([]byte(path))
	return filepath.Join(root, "hashes", hex.EncodeToString(key[:16])+".json")
}

func readEntryFile(path string) (hashEntry, bool) {
	var e hashEntry
	if path == "" {
		return e, false
	}
	raw, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(raw, &e) != nil {
		return e, false
	}
	sum, err := hex.DecodeString(e.SHA256)
	return e, err == nil && len(sum) == sha256.Size && strings.ToLower(e.SHA256) == e.SHA256
}

func writeEntryFile(path string, e hashEntry) {
	if path == "" || os.MkdirAll(filepath.Dir(path), 0o755) != nil {
		return
	}
	raw, err := json.Marshal(e)
	if err == nil {
		_ = writeAtomic(path, func(w io.Writer) error { _, err := w.Write(raw); return err })
	}
}
