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
	whole   bool  // every byte has a token of its own, so that whatever is begun can be ended

	// The tree's nodes, each before those below it.
	label []byte
	depth []uint16 // of the node; those at the root are 0
	past  []int32  // the first node that is not below this one
	token []int32  // that ends here; -1 = none
	twins []int32  // by id: the next token with the same piece; -1 = none
}

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
	v.whole = !slices.Contains(single[:], false)
	slices.SortFunc(order, func(a, b int32) int {
		if c := bytes.Compare(v.pieces[a], v.pieces[b]); c != 0 {
			return c
		}
		return int(a - b)
	})
	v.twins = make([]int32, len(pieces))
	for i := range v.twins {
		v.twins[i] = -1
	}
	v.plant(order)
	return v
}

// plant makes the tree of pieces that are in order.
func (v *Vocabulary) plant(order []int32) {
	var open []int32 // nodes on the way to the last piece
	var last []byte
	for i, id := range order {
		p := v.pieces[id]
		if i > 0 && bytes.Equal(p, last) {
			v.twins[id] = v.token[open[len(open)-1]]
			v.token[open[len(open)-1]] = id
			continue
		}
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
			v.token = append(v.token, -1)
		}
		v.token[open[len(open)-1]] = id
		last = p
	}
	for _, n := range open {
		v.past[n] = int32(len(v.label))
	}
}

// maskOf returns the tokens that may come in state s. The caller may not change it.
func (a *Automaton) maskOf(s *state) ([]uint64, error) {
	s = a.farOf(s)
	if s.mask != nil {
		return s.mask, nil
	}
	v := a.v
	mask := make([]uint64, v.words)
	if s.end {
		for _, id := range v.stop {
			mask[id>>6] |= 1 << (id & 63)
		}
	}
	if n := int(v.longest) + 1; len(a.path) < n {
		a.path = make([]*state, n)
	}
	path, label, class := a.path, v.label, &a.p.class
	path[0] = s
	for n := 0; n < len(label); {
		at := path[v.depth[n]]
		c := class[label[n]]
		var to *state
		if at.next != nil {
			to = at.next[c]
		}
		if to == nil {
			var err error
			if to, err = a.step(at, c); err != nil {
				return nil, err
			}
		}
		if to == dead {
			n = int(v.past[n])
			continue
		}
		path[v.depth[n]+1] = to
		if id := v.token[n]; id >= 0 && (v.whole || a.speakable(to)) {
			for ; id >= 0; id = v.twins[id] {
				mask[id>>6] |= 1 << (id & 63)
			}
		}
		n++
	}
	s.mask = mask
	a.bytes += 8 * len(mask)
	return mask, nil
}

// speakable says whether the text may end in s or some token may follow: where
// the vocabulary lacks bytes, the beginning of a character may have no end.
func (a *Automaton) speakable(s *state) bool {
	if s.end {
		return true
	}
	v := a.v
	path := make([]*state, v.longest+1)
	path[0] = s
	for n := 0; n < len(v.label); {
		to, err := a.step(path[v.depth[n]], a.p.class[v.label[n]])
		switch {
		case err != nil:
			return false
		case to == dead:
			n = int(v.past[n])
		case v.token[n] >= 0:
			return true
		default:
			path[v.depth[n]+1] = to
			n++
		}
	}
	return false
}
