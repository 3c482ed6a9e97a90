package grammar

import (
	"bytes"
	"errors"
	"slices"
)

var errUnspeakable = errors.New("the base's vocabulary can spell no text that meets it")

// Vocabulary is what a base's tokens spell, as a tree of bytes. It does not
// change after NewVocabulary.
type Vocabulary struct {
	pieces  [][]byte // by id; empty = never allowed
	stop    []int32  // tokens that end the text
	encode  func(text string) []int32
	words   int   // of a mask
	longest int32 // piece, in bytes
	whole   bool  // every byte of UTF-8 has a token of its own, so that whatever is begun can be ended

	// The tree's nodes, each before those below it.
	label []byte
	depth []uint16 // of the node; those at the root are 0
	past  []int32  // the first node that is not below this one
	plain []bool   // all labels below it are plainBytes
	long  []bool   // it leads to a piece that is longer than near
	at    []int32  // tokens[at[n]:at[n+1]] end at node n, tokens[at[n]:at[past[n]]] there or below
	// tokens in the order of their pieces.
	tokens []int32
}

// near is how far, in bytes, the mask looks that counters share: longer pieces
// are looked at one by one.
const near = 12

// plainByte says which bytes mean the same to most states that take them.
func plainByte(b byte) bool { return b >= ' ' && b < 0x7F && b != '"' && b != '\\' }

// maxPiece is the longest piece, in bytes, that is ever allowed.
const maxPiece = 1024

// NewVocabulary takes the bytes of each token; nil or empty ones (special tokens,
// holes) are never part of a text. stop are the tokens that end it, encode makes
// the tokens of a text as the base's tokenizer does.
func NewVocabulary(pieces [][]byte, stop []int32, encode func(text string) []int32) *Vocabulary {
	v := &Vocabulary{pieces: slices.Clone(pieces), encode: encode, words: (len(pieces) + 63) / 64}
	for _, id := range stop {
		if id >= 0 && int(id) < len(pieces) {
			v.pieces[id] = nil
			v.stop = append(v.stop, id)
		}
	}
	order := make([]int32, 0, len(pieces))
	var single [256]bool
	for id, p := range v.pieces {
		if len(p) == 0 || len(p) > maxPiece {
			v.pieces[id] = nil
			continue
		}
		if len(p) == 1 {
			single[p[0]] = true
		}
		v.longest = max(v.longest, int32(len(p)))
		order = append(order, int32(id))
	}
	v.whole = true
	for b, has := range single {
		inText := b < 0xC0 || b > 0xC1 && b < 0xF5 // the others stand in no UTF-8
		v.whole = v.whole && (has || !inText)
	}
	slices.SortFunc(order, func(a, b int32) int {
		if c := bytes.Compare(v.pieces[a], v.pieces[b]); c != 0 {
			return c
		}
		return int(a - b)
	})
	v.plant(order)
	return v
}

// plant makes the tree of pieces that are in order.
func (v *Vocabulary) plant(order []int32) {
	var open []int32 // nodes on the way to the last piece
	var last []byte
	v.tokens = order
	for i, id := range order {
		p := v.pieces[id]
		same := 0
		for same < len(last) && same < len(p) && last[same] == p[same] {
			same++
		}
		for _, n := range open[same:] {
			v.past[n] = int32(len(v.label))
		}
		open = open[:same]
		for d := same; d < len(p); d++ {
			open = append(open, int32(len(v.label)))
			v.label = append(v.label, p[d])
			v.depth = append(v.depth, uint16(d))
			v.past = append(v.past, 0)
			v.at = append(v.at, int32(i))
		}
		last = p
	}
	for _, n := range open {
		v.past[n] = int32(len(v.label))
	}
	v.at = append(v.at, int32(len(order)))
	v.plain, v.long = make([]bool, len(v.label)), make([]bool, len(v.label))
	for n := len(v.label) - 1; n >= 0; n-- {
		v.plain[n], v.long[n] = true, v.depth[n] >= near
		for k := int32(n) + 1; k < v.past[n]; k = v.past[k] {
			v.plain[n] = v.plain[n] && v.plain[k] && plainByte(v.label[k])
			v.long[n] = v.long[n] || v.long[k]
		}
	}
}
