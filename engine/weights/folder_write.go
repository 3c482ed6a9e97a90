package weights

import (
	"fmt"
	"os"
	"path/filepath"

	"dlm/engine/kernel"
)

// FolderOptions say how a base is written as a Hugging Face folder.
type FolderOptions struct {
	Type Type                   // of matrices and vectors: F32, F16 or BF16
	Edit func(name string) Edit // what changes a tensor on the way; nil = none does
	IDs  TokenIDs
	Exec *kernel.Exec // threads; nil = one
}

// WriteFolder writes config.json, generation_config.json and model.safetensors
// into dir, which is there: the weights exactly as the engine dequantises them,
// then changed by Edit, then rounded to Type. The tokenizer's files are the
// caller's, and so is that the folder appears whole or not at all.
func (c *Checkpoint) WriteFolder(dir string, o FolderOptions) error {
	config, generation, err := c.Config.JSON(o.Type, o.IDs)
	if err != nil {
		return err
	}
	tensors, err := c.recastAll(o.Type, o.Edit, o.Exec)
	if err != nil {
		return err
	}
	for name, raw := range map[string][]byte{"config.json": config, "generation_config.json": generation} {
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o644); err != nil {
			return err
		}
	}
	return StreamSafetensors(filepath.Join(dir, "model.safetensors"), tensors, map[string]string{"format": "pt"})
}

// recastAll is Recast of every tensor that the architecture needs.
func (c *Checkpoint) recastAll(as Type, edit func(name string) Edit, x *kernel.Exec) ([]Streamed, error) {
	var out []Streamed
	for _, n := range needs(c.Config) {
		var e Edit
		if edit != nil {
			e = edit(n.name)
		}
		s, err := c.Recast(n.name, as, e, x)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Path, err)
		}
		out = append(out, s)
	}
	return out, nil
}
