package tokenizer

import "fmt"

// GGUF returns the tokenizer as the metadata of a GGUF file, with tokens up to the
// number of rows that an embedding has: what it has no token for, a hole among the
// ids or a row behind the last, gets a name that no text is read as. New reads it
// back.
func (t *Tokenizer) GGUF(rows int) Vocab {
	v := Vocab{Pre: t.pre, BOS: t.bos, EOS: t.eos, Pad: t.pad, Unknown: t.unknown, AddBOS: t.addBOS,
		Tokens: make([]string, max(rows, len(t.tokens))), Merges: make([]string, len(t.pairs))}
	v.Types = make([]int32, len(v.Tokens))
	for id := range v.Tokens {
		if id < len(t.tokens) && t.tokens[id] != "" {
			v.Tokens[id], v.Types[id] = t.tokens[id], t.kinds[id]
		} else {
			v.Tokens[id], v.Types[id] = fmt.Sprintf("[PAD%d]", id), TypeUnused
		}
	}
	for i, p := range t.pairs {
		v.Merges[i] = t.tokens[p>>32] + " " + t.tokens[uint32(p)]
	}
	return v
}
