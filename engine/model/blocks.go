package model

import "dlm/engine/kernel"

// Attention multiplies by blocks of 64 positions in two layouts. A block by
// channel, K = D and N = 64, has lanes along positions: q times it gives scores.
// A block by position, K = 64 and N = D, has lanes along channels: weights times
// it give a mixture of rows. Pairs are counted from the sequence's first token,
// so a block's bits do not depend on when its rows were written.

// newBlock allocates a zeroed block.
func newBlock(mode kernel.Mode, k, n int) kernel.Block {
	b := kernel.Block{Mode: mode, K: k, N: n}
	if mode == kernel.F32 {
		b.F = make([]float32, k*n)
	} else {
		b.B = make([]uint16, k*n)
	}
	return b
}

// clear zeroes the block: positions not yet written must be finite.
func clearBlock(b kernel.Block) {
	clear(b.B)
	clear(b.F)
}

// blockArena hands out zeroed pairs of blocks to the segments of one pass that
// have no cache, and keeps them for the next pass.
type blockArena struct {
	mode   kernel.Mode
	d      int
	keys   []kernel.Block // by channel
	values []kernel.Block // by position
	used   int
}

// take returns n key and value blocks that follow one another.
func (a *blockArena) take(n int) (keys, values []kernel.Block) {
	for len(a.keys) < a.used+n { // beyond the plan: many very short segments
		a.keys = append(a.keys, newBlock(a.mode, a.d, BlockLen))
		a.values = append(a.values, newBlock(a.mode, BlockLen, a.d))
	}
	keys, values = a.keys[a.used:a.used+n], a.values[a.used:a.used+n]
	a.used += n
	clearBlock(keys[n-1]) // only a last block has positions that are not written
	clearBlock(values[n-1])
	return keys, values
}
