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

// PutByChannel writes rows (columns col..col+D of each) to positions slot, slot+1,
// ... of a block with K = D and N = BlockLen.
func PutByChannel(b kernel.Block, slot int, rows kernel.Operand, col int) {
	d := b.K
	if b.Mode == kernel.F32 {
		for r := range rows.Rows {
			src := rows.F[r*rows.Stride+col:][:d]
			for c, v := range src {
				b.F[c*b.N+slot+r] = v
			}
		}
		return
	}
	for r := range rows.Rows {
		src := rows.B[r*rows.Stride+col:][:d]
		dst := b.B[2*(slot+r):]
		for c := 0; c < d; c += 2 {
			at := c * b.N // (c/2) pairs of 2*N values
			dst[at], dst[at+1] = src[c], src[c+1]
		}
	}
}

// PutByPosition writes rows (columns col..col+D of each) to positions slot,
// slot+1, ... of a block with K = BlockLen and N = D.
func PutByPosition(b kernel.Block, slot int, rows kernel.Operand, col int) {
	d := b.N
	for r := range rows.Rows {
		at := slot + r
		if b.Mode == kernel.F32 {
			copy(b.F[at*d:(at+1)*d], rows.F[r*rows.Stride+col:])
			continue
		}
		src := rows.B[r*rows.Stride+col:][:d]
		dst := b.B[at/2*2*d+at&1:]
		for c, v := range src {
			dst[2*c] = v
		}
	}
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
