package hub

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"dlm"
)

// The digest of a GGUF file is its sha256. That of a safetensors folder is the
// sha256 of what `sha256sum config.json FILE...` prints, with the weight files in
// sorted order: the same rule by which the engine names a base.

// fileDigest uses the sha256 that a download was verified with, or reads the file.
func fileDigest(path string, f remote) (dlm.Digest, error) {
	if f.sha256 != "" {
		return dlm.Digest("sha256:" + f.sha256), nil
	}
	sum, err := sha256File(path)
	return dlm.Digest("sha256:" + sum), err
}

// folderDigest reads config.json and the weight files, given sorted.
func folderDigest(dir string, weights []string) (dlm.Digest, error) {
	all := sha256.New()
	for _, name := range append([]string{"config.json"}, weights...) {
		sum, err := sha256File(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(all, "%s  %s\n", sum, name)
	}
	return dlm.Digest("sha256:" + hex.EncodeToString(all.Sum(nil))), nil
}

func sha256File(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(h, f, make([]byte, 1<<20)); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
