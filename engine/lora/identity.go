package lora

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names of the files in an adapter folder. PEFT reads the first two and ignores
// the others.
const (
	ConfigFile   = "adapter_config.json"
	WeightsFile  = "adapter_model.safetensors"
	IdentityFile = "dlm_adapter.json"
	CardFile     = "README.md"
)

// BaseIdentity binds an adapter to its base: the weights, the tokenizer and the
// chat template that it was trained with (engine laws 7 and 8). It stands in
// dlm_adapter.json.
type BaseIdentity struct {
	BaseName      string  `json:"base_name"`      // for people; not compared
	BaseHash      string  `json:"base_hash"`      // of the weights
	TokenizerHash string  `json:"tokenizer_hash"` //
	TemplateHash  string  `json:"template_hash"`  //
	StopIDs       []int32 `json:"stop_ids"`       // tokens that end a completion
}

// identityFormat is the version of dlm_adapter.json that this code writes.
const identityFormat = 1

type identityFile struct {
	Format int `json:"format"`
	BaseIdentity
}

// ErrForeign is wrapped by Load's error when a folder was not made by dlm and is
// bound to no base yet.
var ErrForeign = errors.New("not bound to a base")

// ReadIdentity returns the identity stored in an adapter folder.
func ReadIdentity(dir string) (BaseIdentity, error) {
	path := filepath.Join(dir, IdentityFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return BaseIdentity{}, fmt.Errorf("adapter %s has no %s: %w; if you know which base it was trained on, bind it with: dlm adapters import %s --base BASE",
			dir, IdentityFile, ErrForeign, dir)
	}
	if err != nil {
		return BaseIdentity{}, err
	}
	id, err := parseIdentity(raw)
	if err != nil {
		return BaseIdentity{}, fmt.Errorf("%s: %w; restore the file, or import the adapter anew", path, err)
	}
	return id, nil
}

func parseIdentity(raw []byte) (BaseIdentity, error) {
	var f identityFile
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return BaseIdentity{}, fmt.Errorf("broken: %w", err)
	}
	if d.More() {
		return BaseIdentity{}, errors.New("broken: something follows the JSON object")
	}
	if f.Format != identityFormat {
		return BaseIdentity{}, fmt.Errorf("format %d; this version reads format %d", f.Format, identityFormat)
	}
	if f.BaseHash == "" {
		return BaseIdentity{}, errors.New("base_hash is empty")
	}
	return f.BaseIdentity, nil
}

// check compares what the folder says with the base at hand.
func (have BaseIdentity) check(want BaseIdentity) error {
	switch {
	case have.BaseHash != want.BaseHash:
		return fmt.Errorf("it was trained on base %s (%s), and this is %s (%s); load that base, or train again on this one",
			or(have.BaseName, "without a name"), have.BaseHash, or(want.BaseName, "without a name"), or(want.BaseHash, "no hash"))
	case have.TokenizerHash != want.TokenizerHash:
		return fmt.Errorf("its tokenizer (%s) is not the base's (%s): the same text would be other tokens; restore the base's tokenizer files, or train again",
			have.TokenizerHash, want.TokenizerHash)
	case have.TemplateHash != want.TemplateHash:
		return fmt.Errorf("its chat template (%s) is not the base's (%s): prompts would look other than in training; restore the template, or train again",
			have.TemplateHash, want.TemplateHash)
	case !slices.Equal(sorted(have.StopIDs), sorted(want.StopIDs)):
		return fmt.Errorf("its stop tokens %v are not the base's %v: answers would not end where training ended them; restore the tokenizer and template files, or train again",
			have.StopIDs, want.StopIDs)
	}
	return nil
}

// sorted returns the distinct ids in order; never nil, so that JSON has a list.
func sorted(ids []int32) []int32 {
	s := append([]int32{}, ids...)
	slices.Sort(s)
	return slices.Compact(s)
}

func or(s, fallback string) string {
	if strings.TrimSpace(s) == "" {
		return fallback
	}
	return s
}
