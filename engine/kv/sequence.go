package kv

import (
	"fmt"

	"dlm/engine/kernel"
)

// Sequence is the block table of one sequence. It is what the model reads keys
// and values through.
type Sequence struct {
	pool   *Pool
	length int              // positions held
	room   int              // positions there is room for, as asked by Grow
	blocks []*block         // in order of position
	keys   [][]kernel.Block // [Layers*KVHeads][blocks]
	values [][]kernel.Block // [Layers*KVHeads][blocks]
}

// NewSequence returns an empty sequence.
func (p *Pool) NewSequence() *Sequence {
	n := p.shape.Layers * p.shape.KVHeads
	return &Sequence{pool: p, keys: make([][]kernel.Block, n), values: make([][]kernel.Block, n)}
}

// Len is the number of positions held.
func (s *Sequence) Len() int { return s.length }

// Held is the number of blocks held.
func (s *Sequence) Held() int { return len(s.blocks) }

// Lacks is the number of blocks that Grow(n) would take from the pool.
func (s *Sequence) Lacks(n int) int {
	return max(0, BlocksFor(s.length+n)-len(s.blocks))
}

// Grow makes room for n more positions after those held. When the pool has too
// few blocks it returns [ErrFull] and takes none.
func (s *Sequence) Grow(n int) error {
	lacks := s.Lacks(n)
	if free := s.pool.Free(); lacks > free {
		return fmt.Errorf("%w: %d more positions need %d blocks, %d are free", ErrFull, n, lacks, free)
	}
	for range lacks {
		b, err := s.pool.take()
		if err != nil {
			return err
		}
		s.link(b)
	}
	s.room = max(s.room, s.length+n)
	return nil
}

// link appends a block to the tables of every layer and head.
func (s *Sequence) link(b *block) {
	s.blocks = append(s.blocks, b)
	heads := s.pool.shape.KVHeads
	for i := range s.keys {
		s.keys[i] = append(s.keys[i], s.pool.view(b, i/heads, i%heads, 0))
		s.values[i] = append(s.values[i], s.pool.view(b, i/heads, i%heads, 1))
	}
}

// Advance says that n positions, for which Grow made room, are written.
func (s *Sequence) Advance(n int) {
	if n < 0 || s.length+n > s.room {
		panic(fmt.Sprintf("kv: advance by %d at %d with room for %d", n, s.length, s.room))
	}
	s.length += n
}

// Blocks returns the keys and values of one layer and head, block by block in
// order of position, including room that is not written yet (all zero).
func (s *Sequence) Blocks(layer, kvHead int) (k, v []kernel.Block) {
	i := layer*s.pool.shape.KVHeads + kvHead
	return s.keys[i], s.values[i]
}

// Fork returns a new sequence that holds the first n positions of s and shares
// their blocks. n must be a multiple of [BlockSize] that s holds: a block that
// is still being written cannot be shared.
func (s *Sequence) Fork(n int) (*Sequence, error) {
	if n < 0 || n%BlockSize != 0 || n > s.length {
		return nil, fmt.Errorf("kv: fork at %d: expected a multiple of %d up to %d", n, BlockSize, s.length)
	}
	t := s.pool.NewSequence()
	for _, b := range s.blocks[:n/BlockSize] {
		b.refs++
		t.link(b)
	}
	t.length, t.room = n, n
	return t, nil
}

// Free gives all blocks back. The sequence is empty afterwards and can grow again.
func (s *Sequence) Free() {
	// The last block first: of those that are kept it is the first to go, since
	// nobody can use it without those before it.
	for i := len(s.blocks) - 1; i >= 0; i-- {
		s.pool.drop(s.blocks[i])
	}
	s.blocks = s.blocks[:0]
	for i := range s.keys {
		s.keys[i], s.values[i] = s.keys[i][:0], s.values[i][:0]
	}
	s.length, s.room = 0, 0
}

// Truncate forgets the positions from n on, which the sequence alone may hold. Their
// blocks stay, as room to grow into. What was written there stays too: attention
// gives positions that are not seen a weight of zero, and it is finite.
func (s *Sequence) Truncate(n int) {
	if n < 0 || n > s.length {
		panic(fmt.Sprintf("kv: truncate to %d of %d positions", n, s.length))
	}
	s.length = n
}
