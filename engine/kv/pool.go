package kv

import (
	"errors"
	"fmt"

	"dlm/engine/kernel"
)

// BlockSize is the number of positions of a block. Attention reduces over keys
// in blocks of this size, counted from the sequence's first token.
const BlockSize = 64

// ErrFull means that the pool has no free block left. Freeing another sequence helps.
var ErrFull = errors.New("key-value cache is full")

// Shape says what one position holds.
type Shape struct {
	Layers  int
	KVHeads int         // key-value heads a layer
	HeadDim int         // D, even
	Mode    kernel.Mode // bf16 or f32 elements
}

// BlockBytes is the size of one block over all layers and heads.
func (s Shape) BlockBytes() int64 {
	element := int64(2)
	if s.Mode == kernel.F32 {
		element = 4
	}
	return int64(s.Layers) * int64(s.KVHeads) * 2 * BlockSize * int64(s.HeadDim) * element
}

// BlocksFor is the number of blocks that n positions take.
func BlocksFor(n int) int { return (n + BlockSize - 1) / BlockSize }

// Pool owns the blocks. It belongs to one goroutine; the blocks themselves may
// be read and written by the kernels' workers.
type Pool struct {
	shape Shape
	limit int           // blocks that fit the budget
	made  int           // blocks whose memory exists
	free  []*block      // made and not in use
	arena *kernel.Arena // memory of the blocks that are made next
	room  int           // blocks that it has left
	known map[Key]*block
	kept  ring // known blocks that no sequence holds
}

// block is one page: [Layers][KVHeads] times keys, then values.
type block struct {
	refs int       // sequences that hold it
	b    []uint16  // bf16 bits, or
	f    []float32 // f32

	key        Key // of a known block
	named      bool
	prev, next *block // in Pool.kept
}

// NewPool returns a pool of at most budget bytes. Memory is taken some
// blocks at a time when it is first needed and kept.
func NewPool(shape Shape, budget int64) (*Pool, error) {
	if shape.Layers <= 0 || shape.KVHeads <= 0 || shape.HeadDim <= 0 || shape.HeadDim%2 != 0 {
		return nil, fmt.Errorf("key-value cache: %d layers, %d heads of size %d: expected positive numbers and an even head size",
			shape.Layers, shape.KVHeads, shape.HeadDim)
	}
	limit := budget / shape.BlockBytes()
	if limit < 1 {
		return nil, fmt.Errorf("key-value cache of %d bytes does not hold one block of %d positions (%d bytes); give it more memory",
			budget, BlockSize, shape.BlockBytes())
	}
	return &Pool{shape: shape, limit: int(min(limit, 1<<31-1)), known: map[Key]*block{}}, nil
}

// Shape returns what one position holds.
func (p *Pool) Shape() Shape { return p.shape }

// Limit is the number of blocks that the budget allows.
func (p *Pool) Limit() int { return p.limit }

// Free is the number of blocks that can still be taken, kept ones among them.
func (p *Pool) Free() int { return p.limit - p.Used() }

// Used is the number of blocks held by sequences.
func (p *Pool) Used() int { return p.made - len(p.free) - p.kept.n }

// Bytes is the memory taken so far.
func (p *Pool) Bytes() int64 { return int64(p.made) * p.shape.BlockBytes() }

// take returns a zeroed block: masked positions are multiplied by a weight of
// zero, which only gives zero when what they hold is finite.
func (p *Pool) take() (*block, error) {
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		return b.clean(), nil
	}
	if p.made == p.limit {
		if p.kept.n == 0 {
			return nil, ErrFull
		}
		b := p.kept.oldest()
		p.forget(b)
		return b.clean(), nil
	}
	if p.room == 0 {
		p.room = p.slab()
		p.arena = kernel.NewArena(int64(p.room) * kernel.ArenaBytes(p.shape.BlockBytes()))
	}
	p.room--
	p.made++
	n := p.shape.Layers * p.shape.KVHeads * 2 * BlockSize * p.shape.HeadDim
	b := &block{refs: 1}
	if p.shape.Mode == kernel.F32 {
		b.f = p.arena.F32(n)
	} else {
		b.b = p.arena.Operand(kernel.BF16, 1, n).B
	}
	return b, nil
}

// slabBytes is the memory that is asked for at once: it gets huge pages. A layer
// reads some KiB of each sequence, so that with small ones finding them took as long
// as reading them. Pages that no position is written to are not taken.
const slabBytes = 16 << 20

// slab is the number of blocks to make memory for: an eighth of the budget at most.
func (p *Pool) slab() int {
	n := min(slabBytes/p.shape.BlockBytes(), int64(p.limit/8), int64(p.limit-p.made))
	return int(max(n, 1))
}

// clean makes a block ready for its next sequence.
func (b *block) clean() *block {
	b.refs = 1
	clear(b.b)
	clear(b.f)
	return b
}

// drop gives one reference back. With the last one the block is free, or kept
// when it is known.
func (p *Pool) drop(b *block) {
	switch b.refs--; {
	case b.refs == 0 && b.named:
		p.kept.add(b)
	case b.refs == 0:
		p.free = append(p.free, b)
	case b.refs < 0:
		panic("kv: block freed twice")
	}
}

// view returns the keys (part 0) or values (part 1) of one layer and head as
// the right side of a multiply.
func (p *Pool) view(b *block, layer, kvHead, part int) kernel.Block {
	d := p.shape.HeadDim
	n := BlockSize * d
	lo := ((layer*p.shape.KVHeads+kvHead)*2 + part) * n
	v := kernel.Block{Mode: p.shape.Mode, K: d, N: BlockSize}
	if part == 1 {
		v.K, v.N = BlockSize, d
	}
	if p.shape.Mode == kernel.F32 {
		v.F = b.f[lo : lo+n : lo+n]
	} else {
		v.B = b.b[lo : lo+n : lo+n]
	}
	return v
}
