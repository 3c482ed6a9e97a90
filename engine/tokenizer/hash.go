package tokenizer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"sort"
)

// hashVersion is part of the hash; a change in what decides ids needs a new one.
const hashVersion = "dlm tokenizer 1"

// Hash returns the SHA-256, in hex, over all that decides ids: tokens, merges,
// added tokens, pre-tokeniser, normaliser and flags. A GGUF file and the
// tokenizer.json that it was made from have the same one.
func (t *Tokenizer) Hash() string { return t.hash }

func (t *Tokenizer) computeHash() string {
	h := hasher{sha256.New()}
	h.text(hashVersion, t.pre)
	h.flags(t.nfc, t.ignoreMerges, t.addBOS)
	h.ints(int64(t.unknown), int64(len(t.tokens)))
	if t.addBOS {
		h.ints(int64(t.bos))
	}
	h.text(t.tokens...)
	h.ints(int64(len(t.pairs)))
	for _, p := range t.pairs {
		h.ints(int64(p))
	}
	added := append([]addedToken(nil), t.added...)
	sort.Slice(added, func(i, j int) bool { return added[i].id < added[j].id })
	for _, a := range added {
		h.text(a.content)
		h.ints(int64(a.id))
		h.flags(a.special, a.singleWord, a.lstrip, a.rstrip, a.normalised && t.nfc && !a.special)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// hasher writes values such that no two lists of values give the same bytes.
type hasher struct{ hash.Hash }

func (h hasher) text(list ...string) {
	for _, s := range list {
		h.ints(int64(len(s)))
		h.Write([]byte(s))
	}
}

func (h hasher) ints(list ...int64) {
	var b [8]byte
	for _, v := range list {
		binary.LittleEndian.PutUint64(b[:], uint64(v))
		h.Write(b[:])
	}
}

func (h hasher) flags(list ...bool) {
	for _, f := range list {
		if f {
			h.ints(1)
		} else {
			h.ints(0)
		}
	}
}
