package hub

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"dlm"
)

// local checks a base that lies on this machine; it is used where it is.
func (h *Hub) local(ref, path string) (dlm.PulledModel, error) {
	m := dlm.PulledModel{Ref: ref, Path: path}
	st, err := os.Stat(path)
	if err != nil {
		return m, err
	}
	digest := func() (dlm.Digest, error) { return fileDigest(path, remote{}) }
	if st.IsDir() {
		weights, err := checkFolder(path)
		if err != nil {
			return m, err
		}
		m.Source = "a folder on this machine, used where it lies"
		digest = func() (dlm.Digest, error) { return folderDigest(path, weights) }
	} else {
		if err := checkGGUF(path); err != nil {
			return m, err
		}
		m.Source = "a file on this machine, used where it lies"
	}
	if h.opt.Inspect != nil {
		digest = func() (dlm.Digest, error) { return h.opt.Inspect(path) }
	}
	m.Digest, err = digest()
	return m, err
}

// checkGGUF looks at the magic bytes.
func checkGGUF(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	magic := make([]byte, 4)
	n, err := io.ReadFull(f, magic)
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s is empty; expected a GGUF file: pull or copy it again", path)
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("read %s: %w", path, err)
	}
	magic = magic[:n]
	if string(magic) != "GGUF" {
		return fmt.Errorf("%s is not a GGUF file (it starts with %q); expected a GGUF file or a folder with config.json and safetensors", path, magic)
	}
	return nil
}

// checkFolder returns the weight files of a safetensors folder, all of which
// are there.
func checkFolder(dir string) ([]string, error) {
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
		return nil, fmt.Errorf("%s is not a base: %w; expected a folder with config.json and %s, or a GGUF file", dir, err, oneFile)
	}
	weights := []string{oneFile}
	if _, err := os.Stat(filepath.Join(dir, oneFile)); err != nil {
		if weights, err = shardsOf(filepath.Join(dir, indexFile)); err != nil {
			return nil, fmt.Errorf("%s holds neither %s nor a usable index of shards: %w", dir, oneFile, err)
		}
	}
	for _, w := range weights {
		if st, err := os.Stat(filepath.Join(dir, w)); err != nil || !st.Mode().IsRegular() {
			return nil, fmt.Errorf("%s: the weights are incomplete, %s is missing; pull or copy the folder again", dir, w)
		}
	}
	return weights, nil
}
