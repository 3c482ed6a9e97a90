package route

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"dlm"
)

// identityFile is the file of an adapter folder that says which base it is for.
const identityFile = "dlm_adapter.json"

// weightsFile is the file of an adapter folder that holds its matrices.
const weightsFile = "adapter_model.safetensors"

// identity is what the router needs of dlm_adapter.json. The engine that answers
// checks all of it.
type identity struct {
	BaseName     string     `json:"base_name"`
	BaseHash     dlm.Digest `json:"base_hash"`
	TemplateHash string     `json:"template_hash"`
}

func parseIdentity(r io.Reader) (identity, error) {
	var id identity
	if err := json.NewDecoder(io.LimitReader(r, 1<<20)).Decode(&id); err != nil {
		return id, fmt.Errorf("%s: broken: %w; restore the file, or import the adapter anew", identityFile, err)
	}
	if id.BaseHash == "" {
		return id, fmt.Errorf("%s: base_hash is empty; restore the file, or import the adapter anew", identityFile)
	}
	return id, nil
}

// readFolder reads the identity of an adapter in a folder, and hashes its weights.
func readFolder(dir string) (identity, dlm.Digest, error) {
	f, err := os.Open(filepath.Join(dir, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); err != nil {
			return identity{}, "", dlm.Faultf(dlm.FaultUnknown, "lora_path", "adapter folder %s is not there; expected the path of a PEFT folder on this server", dir)
		}
		return identity{}, "", fmt.Errorf("%s has no %s, so that it is bound to no base: dlm adapters import binds it", dir, identityFile)
	}
	if err != nil {
		return identity{}, "", err
	}
	defer f.Close()
	id, err := parseIdentity(f)
	if err != nil {
		return id, "", fmt.Errorf("adapter %s: %w", dir, err)
	}
	w, err := os.Open(filepath.Join(dir, weightsFile))
	if err != nil {
		return id, "", fmt.Errorf("adapter %s: %w; expected a PEFT folder", dir, err)
	}
	defer w.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, w); err != nil {
		return id, "", err
	}
	return id, dlm.Digest("sha256:" + hex.EncodeToString(sum.Sum(nil))), nil
}

// stamp tells a folder whose adapter was written anew.
type stamp [2]struct {
	size int64
	time time.Time
}

func stampOf(dir string) (s stamp) {
	for i, name := range []string{weightsFile, identityFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
			s[i].size, s[i].time = info.Size(), info.ModTime()
		}
	}
	return s
}
