package native

import (
	"fmt"
	"os"
	"path/filepath"

	"dlm/engine/lora"
	"dlm/engine/weights"
)

// FolderOptions say which weights a Hugging Face folder is to hold.
type FolderOptions struct {
	Dtype   string // "bf16", "f16" or "f32"; "" = bf16
	Adapter string // PEFT folder to merge; "" = the base alone

	// Quantized writes the weights of a base that is quantised as it is loaded as
	// that leaves them, instead of as its files have them. A merge always does: an
	// adapter was trained beside those.
	Quantized bool
}

// WriteHF writes the base, or base and adapter as one, as the folder that Hugging
// Face's libraries and vLLM load: config, weights dequantised exactly as the
// engine does and then rounded to Dtype, tokenizer, chat template, and the tokens
// that end a completion. It replaces what WriteHF wrote at dir before, and nothing
// else; the folder appears whole or not at all.
func (n *Native) WriteHF(dir string, o FolderOptions) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	as, err := parseDtype(o.Dtype)
	if err != nil {
		return err
	}
	if err := replaceable(dir, "config.json"); err != nil {
		return err
	}
	ck, edit, err := n.reopen(o.Adapter, o.Quantized)
	if err != nil {
		return err
	}
	defer ck.Close()
	text, err := n.textFiles()
	if err != nil {
		return err
	}
	err = lora.ReplaceFolder(dir, func(tmp string) error {
		for name, raw := range text {
			if err := os.WriteFile(filepath.Join(tmp, name), raw, 0o644); err != nil {
				return err
			}
		}
		return ck.WriteFolder(tmp, weights.FolderOptions{Type: as, Edit: edit, IDs: n.tokenIDs(), Exec: n.x})
	})
	if err != nil {
		return fmt.Errorf("writing %s: %w", dir, err)
	}
	return nil
}

// reopen opens the base's files again, which are closed once it is loaded, and
// returns what an adapter changes in its tensors. Callers hold n.mu.
func (n *Native) reopen(adapter string, quantized bool) (*weights.Checkpoint, func(string) weights.Edit, error) {
	var a *lora.Adapter
	if adapter != "" {
		var err error
		if a, _, err = n.masters(adapter); err != nil {
			return nil, nil, err
		}
	}
	ck, err := weights.Open(n.path)
	if err != nil {
		return nil, nil, err
	}
	if err := n.sameFiles(ck); err != nil {
		ck.Close()
		return nil, nil, err
	}
	if nf4, _ := parseQuantize(n.o.Quantize); nf4 && (quantized || a != nil) {
		if err := ck.QuantizeNF4(); err != nil {
			ck.Close()
			return nil, nil, err
		}
	}
	if a == nil {
		return ck, nil, nil
	}
	return ck, a.Merge, nil
}

// sameFiles refuses a base whose files changed after it was loaded.
func (n *Native) sameFiles(ck *weights.Checkpoint) error {
	have, err := ck.Hash()
	if err != nil {
		return err
	}
	if have != n.file {
		return fmt.Errorf("%s has changed since it was loaded: its hash is %s, it was %s; start again", n.path, have, n.file)
	}
	return nil
}

// tokenIDs are what a config says of tokens.
func (n *Native) tokenIDs() weights.TokenIDs {
	return weights.TokenIDs{BOS: n.tok.BOS(), EOS: n.tok.EOS(), Pad: n.tok.Pad(), Stop: n.id.StopIDs}
}

func parseDtype(s string) (weights.Type, error) {
	switch s {
	case "", "bf16":
		return weights.BF16, nil
	case "f16":
		return weights.F16, nil
	case "f32":
		return weights.F32, nil
	}
	return 0, fmt.Errorf("dtype %q: expected bf16, f16 or f32", s)
}

// replaceable refuses a folder in which something else stands than what would be
// written there; mark is a file that the latter has.
func replaceable(dir, mark string) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, mark)); err != nil {
		return fmt.Errorf("%s holds other files; choose a new folder", dir)
	}
	return nil
}
