package infer

import (
	"slices"

	"dlm/engine/model"
)

// Whole sequences are scored in one pass without a cache: the choices of one item
// begin with the same prompt, which the pass then computes once.

// wholes counts the whole sequences of one adapter that a batch begins with.
func wholes(batch []*Sequence) int {
	n := 1
	for n < len(batch) && batch[n].whole && batch[n].adapter == batch[0].adapter {
		n++
	}
	return n
}

// sharedWith is the number of positions that s surely takes no rows for when it
// runs in one pass with prev: the prefix that they share, less what the tree of
// segments may compute twice.
func (s *Sequence) sharedWith(prev *Sequence) int {
	if !prev.whole || prev.adapter != s.adapter {
		return 0
	}
	return max(0, model.CommonPrefix(s.ids[:s.need], prev.ids[:prev.need])-model.MinShared)
}

// runWhole adds the segments and targets of whole sequences of one adapter, whose
// rows begin at row, and returns their number of rows. It puts the sequences into
// the order in which neighbours have the most in common.
func (e *Engine) runWhole(batch []*Sequence, row int) (rows int) {
	slices.SortStableFunc(batch, func(a, b *Sequence) int {
		return model.CompareSequences(a.ids[:a.need], b.ids[:b.need])
	})
	e.whole = e.whole[:0]
	for _, s := range batch {
		e.whole = append(e.whole, model.Sequence{IDs: s.ids[:s.need], Adapter: s.adapter})
	}
	e.forest.Reset()
	first := len(e.segs)
	number := e.forest.Add(e.whole...)
	for _, seg := range e.forest.Segments {
		if seg.Parent > 0 {
			seg.Parent += first
		}
		e.segs = append(e.segs, seg)
	}
	for i, s := range batch {
		for next := s.from; next <= s.need; next++ {
			e.want(s, next, row+e.forest.Row(number+i, next-1))
		}
	}
	return e.forest.Rows
}
