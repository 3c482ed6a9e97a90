package model

import (
	"fmt"

	"dlm/engine/kernel"
)

// Segments of a pass may form trees: a segment continues its parent as another
// one may, and the parent's rows are computed once, forward and backward. Every
// row still attends to one sequence, the path from the root to it, whose key
// blocks are counted from its first token. Blocks that the path fills before a
// segment begins are the parent's own; of the block in which the segment begins
// it holds a copy, so no bit depends on what else continues the parent.

// branch is a segment's place in its tree.
type branch struct {
	row    int // its first row in the pass
	parent int // index into segs, -1 for a root
	root   int // index of its tree's root
}

// span is a stretch of a sequence's positions whose rows follow one another.
type span struct{ row, pos, n int }

// admitBranch checks a segment that continues another one and notes its place.
func (p *Pass) admitBranch(s int) error {
	seg := &p.segs[s]
	b := branch{row: p.n, parent: seg.Parent - 1, root: s}
	if seg.Parent != 0 {
		if b.parent < 0 || b.parent >= s {
			return fmt.Errorf("segment %d continues segment %d; expected one that stands before it", s, b.parent)
		}
		up := &p.segs[b.parent]
		switch end := up.Start + len(up.IDs); {
		case seg.Start != end:
			return fmt.Errorf("segment %d starts at position %d; segment %d, which it continues, ends at %d", s, seg.Start, b.parent, end)
		case seg.Cache != nil || up.Cache != nil:
			return fmt.Errorf("segment %d continues segment %d; neither may have a cache", s, b.parent)
		case seg.Adapter != up.Adapter:
			return fmt.Errorf("segment %d continues segment %d, which has another adapter", s, b.parent)
		}
		b.root = p.branches[b.parent].root
	}
	p.branches = append(p.branches, b)
	return nil
}

// eachSpan calls f for the rows of positions from..to-1 of the sequence that
// ends with segment s, in order of position.
func (p *Pass) eachSpan(s, from, to int, f func(span)) {
	b, start := &p.branches[s], p.segs[s].Start
	if from < start {
		p.eachSpan(b.parent, from, min(to, start), f)
		from = start
	}
	if from < to {
		f(span{row: b.row + from - start, pos: from, n: to - from})
	}
}

// segmentBlocks returns the key and value blocks of a segment without a cache
// for key-value head h: its parent's full blocks, then blocks of its own.
func (p *Pass) segmentBlocks(s, h int) (keys, values []kernel.Block) {
	att, seg, kv := &p.att, &p.segs[s], p.m.cfg.KVHeads
	shared := seg.Start / BlockLen
	keys, values = att.arena.take((seg.Start+len(seg.IDs)+BlockLen-1)/BlockLen - shared)
	if shared == 0 {
		return keys, values
	}
	up, at := p.branches[s].parent*kv+h, len(att.joined)
	att.joined = append(att.joined, att.keys[up][:shared]...)
	att.joined = append(att.joined, keys...)
	mid := len(att.joined)
	att.joined = append(att.joined, att.values[up][:shared]...)
	att.joined = append(att.joined, values...)
	return att.joined[at:mid:mid], att.joined[mid:]
}
