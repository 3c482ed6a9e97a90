package lora

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"dlm/engine/weights"
)

// Save writes the adapter as a PEFT folder at dir, replacing an adapter that
// stands there: float32 weights, PEFT's configuration, the identity of its base
// and a model card. Equal adapters give equal bytes; the folder appears whole or
// not at all.
func (a *Adapter) Save(dir string, id BaseIdentity) error {
	return a.SaveWith(dir, id, nil)
}

// SaveWith is Save with further files in the folder, by name: the base's
// tokenizer and chat template, so that the folder can be used alone.
func (a *Adapter) SaveWith(dir string, id BaseIdentity, files map[string][]byte) error {
	if err := a.saveable(dir, id, files); err != nil {
		return fmt.Errorf("adapter %s is not written: %w", dir, err)
	}
	err := ReplaceFolder(dir, func(tmp string) error { return a.fillFolder(tmp, id, files) })
	if err != nil {
		return fmt.Errorf("writing adapter %s: %w", dir, err)
	}
	return nil
}

// saveable refuses what Load would refuse, and to replace a folder that is no
// adapter.
func (a *Adapter) saveable(dir string, id BaseIdentity, files map[string][]byte) error {
	if id.BaseHash == "" {
		return errors.New("the base has no hash; an adapter without a base cannot be loaded again")
	}
	for name := range files {
		switch name {
		case ConfigFile, WeightsFile, IdentityFile, CardFile:
			return fmt.Errorf("the further file %s has the name of a file of the adapter itself", name)
		}
		if name != filepath.Base(name) || name == "." || name == ".." {
			return fmt.Errorf("the further file %q is not a plain name", name)
		}
	}
	for _, p := range a.Params() {
		for i, v := range p.Value {
			if v != v || math.IsInf(float64(v), 0) {
				return fmt.Errorf("tensor %s holds %v at element %d; its training diverged: use an earlier checkpoint or a lower learning rate", p.Name, v, i)
			}
		}
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(entries) == 0) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, ConfigFile)); err != nil {
		return errors.New("a folder that is no adapter stands there; choose another name")
	}
	return nil
}

func (a *Adapter) fillFolder(dir string, id BaseIdentity, files map[string][]byte) error {
	config, err := configJSON(a.cfg, id.BaseName)
	if err != nil {
		return err
	}
	id.StopIDs = sorted(id.StopIDs)
	identity, err := json.MarshalIndent(identityFile{identityFormat, id}, "", "  ")
	if err != nil {
		return err
	}
	all := map[string][]byte{
		ConfigFile: config, IdentityFile: append(identity, '\n'), CardFile: a.card(id),
	}
	for name, raw := range files {
		all[name] = raw
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), all[name], 0o644); err != nil {
			return err
		}
	}
	var tensors []weights.Named
	for _, p := range a.Params() {
		tensors = append(tensors, p.named())
	}
	return weights.WriteSafetensors(filepath.Join(dir, WeightsFile), tensors, map[string]string{"format": "pt"})
}

// named returns the tensor in the orientation of a file, as float32 bytes.
func (p Param) named() weights.Named {
	raw := make([]byte, 4*len(p.Value))
	rows, cols := p.Shape[0], p.Shape[1]
	for r := range rows {
		for c := range cols {
			v := p.Value[r*cols+c]
			if p.Transposed {
				v = p.Value[c*rows+r]
			}
			binary.LittleEndian.PutUint32(raw[4*(r*cols+c):], math.Float32bits(v))
		}
	}
	return weights.Named{Name: p.Name, Type: weights.F32, Shape: p.Shape, Data: raw}
}

// card writes the model card that the Hub shows.
func (a *Adapter) card(id BaseIdentity) []byte {
	mods := make([]string, len(a.cfg.Modules))
	for i, m := range a.cfg.Modules {
		mods[i] = m.String()
	}
	scaling := "alpha / rank"
	if a.cfg.RSLoRA {
		scaling = "alpha / sqrt(rank)"
	}
	base := or(id.BaseName, "unnamed base")
	rank, alpha := fmt.Sprint(a.cfg.Rank), fmt.Sprint(a.cfg.Alpha)
	if len(a.cfg.RankPattern) > 0 {
		rank += "; `" + patternsText(a.cfg.RankPattern) + "`"
	}
	if len(a.cfg.AlphaPattern) > 0 {
		alpha += "; `" + patternsText(a.cfg.AlphaPattern) + "`"
	}
	return fmt.Appendf(nil, `---
base_model: %s
library_name: peft
pipeline_tag: text-generation
tags:
- lora
- dlm
---

# LoRA adapter for %s

| | |
|---|---|
| rank | %s |
| alpha | %s (scaling: %s) |
| dropout in training | %v |
| projections | %s |
| trained values | %d |
| base weights | %s |
| tokenizer | %s |
| chat template | %s |

It fits exactly this base, tokenizer and chat template; dlm refuses others. The
weights are float32, in %s.

With PEFT:

    from peft import PeftModel
    model = PeftModel.from_pretrained(base, "THIS_FOLDER")
`, yamlString(base), base, rank, alpha, scaling, a.cfg.Dropout, strings.Join(mods, ", "),
		a.Parameters(), id.BaseHash, or(id.TokenizerHash, "not recorded"), or(id.TemplateHash, "not recorded"), WeightsFile)
}

// yamlString quotes a name for the card's front matter; JSON strings are YAML.
func yamlString(s string) string {
	raw, _ := json.Marshal(s) // a string always encodes
	return string(raw)
}
