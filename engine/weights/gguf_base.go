package weights

import (
	"fmt"
	"strings"

	"dlm/engine/kernel"
)

// GGUFOptions say how a base is written as a GGUF file.
type GGUFOptions struct {
	Format    string                 // one of GGUFFormats
	Edit      func(name string) Edit // what changes a tensor on the way, by Hugging Face name; nil = none does
	Vocab     GGUFVocab              // as many tokens as the embedding has rows
	EndOfTurn int32                  // token that ends an assistant's turn; -1 = none
	Template  string                 // chat template; "" = none
	Name      string                 // general.name
	License   string                 // general.license; "" = not known
	Exec      *kernel.Exec           // threads; nil = one
}

// WriteGGUF writes the base as one GGUF file that llama.cpp loads: the weights
// exactly as the engine dequantises them, changed by Edit, rounded to the format's
// types; norms and biases in F32; query and key rows of the llama architecture in
// llama.cpp's order; tokenizer, template and rotary settings complete.
func (c *Checkpoint) WriteGGUF(path string, o GGUFOptions) error {
	f, err := parseGGUFFormat(o.Format)
	if err != nil {
		return err
	}
	if len(o.Vocab.Tokens) != c.Config.Vocab {
		return fmt.Errorf("%d tokens for an embedding of %d rows", len(o.Vocab.Tokens), c.Config.Vocab)
	}
	tensors, err := c.ggufTensors(f, o)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Path, err)
	}
	return StreamGGUF(path, c.ggufMetadata(f, o), tensors)
}

func (c *Checkpoint) ggufTensors(f ggufFormat, o GGUFOptions) ([]Streamed, error) {
	var out []Streamed
	for _, n := range needs(c.Config) {
		t, err := c.Tensor(n.name)
		if err != nil {
			return nil, err
		}
		d := c.ropeRows(n.name)
		if len(t.Shape) == 1 {
			out = append(out, Stream(NamedF32(ggufName(n.name), t.Shape, reordered(t.F32(), d))))
			continue
		}
		var edit Edit
		if o.Edit != nil {
			edit = o.Edit(n.name)
		}
		var order func(i int) int
		if d != 0 {
			order = func(i int) int { return uninterleaved(i, d) }
		}
		s, err := c.recast(n.name, f.typeOf(c.Config, n, layerOf(n.name)), edit, order, o.Exec)
		if err != nil {
			return nil, err
		}
		s.Name = ggufName(n.name)
		out = append(out, s)
	}
	if s := c.Config.RopeScaling; s != nil {
		div := make([]float32, c.Config.HeadDim/2)
		for i := range div {
			div[i] = float32(s.divisor(ropeFreq(&c.Config, i)))
		}
		out = append(out, Stream(NamedF32("rope_freqs.weight", []int{len(div)}, div)))
	}
	return out, nil
}

// ropeRows is the size of the heads whose rope pairs llama.cpp keeps side by side
// in a tensor, 0 for every other tensor.
func (c *Checkpoint) ropeRows(name string) int {
	if c.Config.Arch == "llama" && (strings.Contains(name, ".self_attn.q_proj.") || strings.Contains(name, ".self_attn.k_proj.")) {
		return c.Config.HeadDim
	}
	return 0
}

// reordered puts a bias into llama.cpp's order; d as of ropeRows.
func reordered(v []float32, d int) []float32 {
	if d == 0 {
		return v
	}
	out := make([]float32, len(v))
	for i := range out {
		out[i] = v[uninterleaved(i, d)]
	}
	return out
}

// layerOf is the number of the layer that a tensor stands in, -1 for none.
func layerOf(name string) int {
	layer := -1
	if _, err := fmt.Sscanf(name, "model.layers.%d.", &layer); err != nil {
		return -1
	}
	return layer
}

func (c *Checkpoint) ggufMetadata(f ggufFormat, o GGUFOptions) []KV {
	g, p := c.Config, c.Config.Arch+"."
	kv := []KV{
		{"general.architecture", g.Arch}, {"general.type", "model"}, {"general.name", o.Name},
		{"general.file_type", f.fileType}, {"general.quantization_version", uint32(2)},
		{p + "block_count", uint32(g.Layers)}, {p + "context_length", uint32(g.MaxSeq)}, {p + "embedding_length", uint32(g.Hidden)},
		{p + "feed_forward_length", uint32(g.FFN)}, {p + "attention.head_count", uint32(g.Heads)}, {p + "attention.head_count_kv", uint32(g.KVHeads)},
		{p + "attention.key_length", uint32(g.HeadDim)}, {p + "attention.value_length", uint32(g.HeadDim)},
		{p + "attention.layer_norm_rms_epsilon", g.NormEps}, {p + "rope.freq_base", float32(g.RopeTheta)},
		{p + "rope.dimension_count", uint32(g.HeadDim)}, {p + "vocab_size", uint32(g.Vocab)},
	}
	if o.License != "" {
		kv = append(kv, KV{"general.license", o.License})
	}
	return append(kv, o.tokenizer()...)
}

// tokenizer is the part of the metadata that describes it.
func (o *GGUFOptions) tokenizer() []KV {
	const p = "tokenizer.ggml."
	kv := []KV{
		{p + "model", "gpt2"}, {p + "pre", o.Vocab.Pre}, {p + "tokens", o.Vocab.Tokens}, {p + "token_type", o.Vocab.Types},
		{p + "merges", o.Vocab.Merges},
	}
	for _, t := range []struct {
		key string
		id  int32
	}{
		{"bos_token_id", o.Vocab.BOS}, {"eos_token_id", o.Vocab.EOS}, {"eot_token_id", o.EndOfTurn},
		{"padding_token_id", o.Vocab.Pad}, {"unknown_token_id", o.Vocab.Unknown},
	} {
		if t.id >= 0 {
			kv = append(kv, KV{p + t.key, uint32(t.id)})
		}
	}
	kv = append(kv, KV{p + "add_bos_token", o.Vocab.AddBOS}, KV{p + "add_eos_token", false}, KV{p + "add_space_prefix", false})
	if o.Template != "" {
		kv = append(kv, KV{"tokenizer.chat_template", o.Template})
	}
	return kv
}

// ggufName translates a Hugging Face tensor name; the reverse of hfName.
func ggufName(name string) string {
	switch name {
	case "model.embed_tokens.weight":
		return "token_embd.weight"
	case "model.norm.weight":
		return "output_norm.weight"
	case "lm_head.weight":
		return "output.weight"
	}
	rest, ok := strings.CutPrefix(name, "model.layers.")
	layer, part, ok2 := strings.Cut(rest, ".")
	at := strings.LastIndexByte(part, '.')
	if !ok || !ok2 || at < 0 {
		return name
	}
	for gguf, hf := range hfNames {
		if hf == part[:at] {
			return "blk." + layer + "." + gguf + part[at:]
		}
	}
	return name
}
