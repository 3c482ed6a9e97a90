package native

import (
	"fmt"
	"strings"

	"dlm/engine/weights"
)

// GGUFOptions say what a GGUF file is to hold.
type GGUFOptions struct {
	Type    string // one of GGUFTypes; "" = q8_0
	Adapter string // PEFT folder to merge; "" = the base alone
	Name    string // for people; "" = the base's
	License string // "" = not known
}

// GGUFTypes are the mixes of types that WriteGGUF writes.
func GGUFTypes() []string { return weights.GGUFFormats() }

// WriteGGUF writes base and adapter as one GGUF file for llama.cpp and what is built
// on it: weights as the engine dequantises them, the adapter added in f32, then
// rounded to the type. The file appears whole or not at all.
func (n *Native) WriteGGUF(path string, o GGUFOptions) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	ck, edit, err := n.reopen(o.Adapter, false)
	if err != nil {
		return err
	}
	defer ck.Close()
	v := n.tok.GGUF(ck.Config.Vocab)
	g := weights.GGUFOptions{
		Format: o.Type, Edit: edit, EndOfTurn: -1, Name: o.Name, License: o.License, Exec: n.x,
		Vocab: weights.GGUFVocab{Tokens: v.Tokens, Types: v.Types, Merges: v.Merges, Pre: v.Pre, BOS: v.BOS, EOS: v.EOS, Pad: v.Pad, Unknown: v.Unknown, AddBOS: v.AddBOS},
	}
	if g.Format == "" {
		g.Format = "q8_0"
	}
	if g.Name == "" {
		g.Name = n.id.BaseName
	}
	if n.tmpl != nil {
		g.Template, g.EndOfTurn = n.tmpl.Source(), n.tmpl.EndOfTurn()
	}
	return ck.WriteGGUF(path, g)
}

// WriteGGUFLoRA writes an adapter as a GGUF file that llama.cpp loads beside a GGUF of
// this base.
func (n *Native) WriteGGUFLoRA(path, adapter string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if adapter == "" {
		return fmt.Errorf("a GGUF LoRA file needs an adapter")
	}
	a, _, err := n.masters(adapter)
	if err != nil {
		return err
	}
	ck, err := weights.Open(n.path)
	if err != nil {
		return err
	}
	defer ck.Close()
	return ck.WriteGGUFLoRA(path, n.id.BaseName+" LoRA", a.Pairs())
}

// IsGGUF says whether the base is a GGUF file, which llama.cpp loads as it is.
func (n *Native) IsGGUF() bool { return strings.HasSuffix(n.path, ".gguf") }
