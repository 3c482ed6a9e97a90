package tokenizer

import (
	"fmt"
	"strings"
)

// Token types as GGUF files number them (tokenizer.ggml.token_type).
const (
	TypeNormal      int32 = 1
	TypeUnknown     int32 = 2
	TypeControl     int32 = 3 // special: never read from plain text
	TypeUserDefined int32 = 4 // added, but ordinary: always read from text
	TypeUnused      int32 = 5
)

// Vocab is the tokenizer metadata of a GGUF file.
type Vocab struct {
	Tokens                 []string // by id, in the byte-level alphabet; control and user-defined ones as they are
	Types                  []int32  // by id, Type...; empty means all are normal
	Merges                 []string // "left right", by rank
	Pre                    string   // "smollm", "llama-bpe", "qwen2", "gpt-2"
	BOS, EOS, Pad, Unknown int32    // ids; -1 = none
	AddBOS                 bool     // plain text is to begin with BOS
}

// Tokenizer turns text into ids and back. It does not change after New.
type Tokenizer struct {
	pre          string
	split        splitter
	nfc          bool
	ignoreMerges bool
	unknown      int32 // id for a byte that has no token; -1 drops it

	tokens []string         // by id, as the vocabulary writes them; empty = no such token
	kinds  []int32          // by id, Type...
	pieces []string         // by id, the bytes that it stands for
	words  map[string]int32 // raw bytes of a normal token -> id
	bytes  [256]int32       // id of each byte; -1 = the vocabulary lacks it
	merges mergeTable
	pairs  []uint64 // merges by rank, for Hash

	added     []addedToken
	raw       *addedSet // looked for in the text itself
	normal    *addedSet // looked for in normalised text
	specialID map[string]int32

	bos, eos, pad int32
	addBOS        bool
	cache         *wordCache
	hash          string
}

// New builds a tokenizer from the metadata of a GGUF file. What the file cannot
// say follows from the name of its pre-tokeniser: qwen2 normalises to NFC,
// llama-bpe takes a word that is a token as it is.
func New(v Vocab) (*Tokenizer, error) {
	name, p, err := preTokenizerFor(v.Pre)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.ggml.pre: %w", err)
	}
	if len(v.Types) != 0 && len(v.Types) != len(v.Tokens) {
		return nil, fmt.Errorf("tokenizer.ggml.token_type has %d entries, tokenizer.ggml.tokens has %d", len(v.Types), len(v.Tokens))
	}
	t := newTokenizer(name, p)
	t.nfc, t.ignoreMerges = p.nfc, p.ignore
	for id, token := range v.Tokens {
		kind := TypeNormal
		if len(v.Types) != 0 {
			kind = v.Types[id]
		}
		if kind == TypeUnknown {
			kind = TypeControl
		}
		if token == "" {
			return nil, fmt.Errorf("tokenizer.ggml.tokens: token %d is empty", id)
		}
		t.addToken(token, kind)
		if kind == TypeControl || kind == TypeUserDefined {
			t.added = append(t.added, addedToken{content: token, id: int32(id), special: kind == TypeControl})
		}
	}
	merges := make([][2]string, len(v.Merges))
	for i, m := range v.Merges {
		if merges[i], err = splitMerge(m); err != nil {
			return nil, fmt.Errorf("tokenizer.ggml.merges: merge %d: %w", i, err)
		}
	}
	for _, x := range []struct {
		key string
		id  int32
		to  *int32
	}{{"bos_token_id", v.BOS, &t.bos}, {"eos_token_id", v.EOS, &t.eos}, {"padding_token_id", v.Pad, &t.pad}} {
		if x.id >= int32(len(v.Tokens)) {
			return nil, fmt.Errorf("tokenizer.ggml.%s is %d, but there are %d tokens", x.key, x.id, len(v.Tokens))
		}
		*x.to = max(x.id, -1)
	}
	t.addBOS = v.AddBOS
	if err := t.finish(merges); err != nil {
		return nil, fmt.Errorf("tokenizer.ggml: %w", err)
	}
	return t, nil
}

func newTokenizer(name string, p preTokenizer) *Tokenizer {
	return &Tokenizer{pre: name, split: p.split, unknown: -1, bos: -1, eos: -1, pad: -1,
		words: map[string]int32{}, specialID: map[string]int32{}, cache: newWordCache()}
}

// addToken gives a token the next id. What a token stands for is its bytes in
// the byte-level alphabet, or its own text when it is not written in that.
func (t *Tokenizer) addToken(token string, kind int32) {
	piece := token
	if kind == TypeNormal {
		if raw, ok := rawBytes(token); ok {
			piece = raw
		}
	}
	t.tokens = append(t.tokens, token)
	t.kinds = append(t.kinds, kind)
	t.pieces = append(t.pieces, piece)
}

// splitMerge reads a merge in its older form, two tokens with a space between.
func splitMerge(s string) ([2]string, error) {
	left, right, ok := strings.Cut(s, " ")
	if !ok || left == "" || right == "" || strings.Contains(right, " ") {
		return [2]string{}, fmt.Errorf("%q is not two tokens with one space between them", s)
	}
	return [2]string{left, right}, nil
}

// finish checks the vocabulary and builds the tables from tokens, added and the
// given merges.
func (t *Tokenizer) finish(merges [][2]string) error {
	ids := make(map[string]int32, len(t.tokens))
	for id, token := range t.tokens {
		if token == "" {
			continue
		}
		if first, ok := ids[token]; ok {
			return fmt.Errorf("tokens %d and %d are both %q", first, id, token)
		}
		ids[token] = int32(id)
		if t.kinds[id] == TypeNormal {
			t.words[t.pieces[id]] = int32(id)
		}
	}
	for b := range t.bytes {
		t.bytes[b] = -1
		if id, ok := ids[string(byteToChar[b])]; ok && t.kinds[id] == TypeNormal {
			t.bytes[b] = id
		}
	}
	if err := t.setMerges(merges, ids); err != nil {
		return err
	}
	var raw, normal []addedToken
	for _, a := range t.added {
		if a.special {
			t.specialID[a.content] = a.id
		}
		if a.normalised && !a.special && t.nfc {
			a.content = normaliseNFC(a.content)
			normal = append(normal, a)
		} else {
			raw = append(raw, a)
		}
	}
	t.raw, t.normal = newAddedSet(raw), newAddedSet(normal)
	t.hash = t.computeHash()
	return nil
}

func (t *Tokenizer) setMerges(merges [][2]string, ids map[string]int32) error {
	t.merges = newMergeTable(len(merges))
	t.pairs = make([]uint64, len(merges))
	for rank, m := range merges {
		left, okLeft := ids[m[0]]
		right, okRight := ids[m[1]]
		into, okInto := ids[m[0]+m[1]]
		for _, x := range []struct {
			token string
			ok    bool
		}{{m[0], okLeft}, {m[1], okRight}, {m[0] + m[1], okInto}} {
			if !x.ok {
				return fmt.Errorf("merge %d (%q %q): %q is not a token", rank, m[0], m[1], x.token)
			}
		}
		if t.kinds[into] == TypeControl {
			return fmt.Errorf("merge %d (%q %q) makes the special token %q", rank, m[0], m[1], m[0]+m[1])
		}
		t.merges.set(left, right, int32(rank), into)
		t.pairs[rank] = pairKey(left, right)
	}
	return nil
}

// Size returns the number of ids, holes included.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// BOS returns the id that begins a text, -1 when there is none.
func (t *Tokenizer) BOS() int32 { return t.bos }

// EOS returns the id that ends a text, -1 when there is none.
func (t *Tokenizer) EOS() int32 { return t.eos }

// Pad returns the id that fills up batches, -1 when there is none.
func (t *Tokenizer) Pad() int32 { return t.pad }

// AddBOS reports whether plain text (not a rendered template, which writes its
// own) is to begin with BOS. Encode never adds it.
func (t *Tokenizer) AddBOS() bool { return t.addBOS }

// Special returns the id of the special token that is written name.
func (t *Tokenizer) Special(name string) (int32, bool) {
	id, ok := t.specialID[name]
	return id, ok
}

// IsSpecial reports whether id is a special token.
func (t *Tokenizer) IsSpecial(id int32) bool {
	return id >= 0 && int(id) < len(t.kinds) && t.kinds[id] == TypeControl
}
