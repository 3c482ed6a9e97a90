package kv

import "fmt"

// Key names what a full block holds. Whoever makes keys sees to it that equal
// keys mean equal tokens from the sequence's first one to the block's end, and
// equal adapters: a block's keys and values depend on all of that and on nothing
// else (engine laws 1 and 2), so a block computed once is good for every sequence.
type Key [32]byte

// Known reports whether a block of that key is there, and whether it is idle:
// held by no sequence, so that adopting it takes one of the pool's free blocks.
func (p *Pool) Known(k Key) (known, idle bool) {
	b := p.known[k]
	return b != nil, b != nil && b.refs == 0
}

// Kept is the number of known blocks that no sequence holds. They are given up,
// least recently used first, when there is no other room.
func (p *Pool) Kept() int { return p.kept.n }

// Forget gives up all kept blocks.
func (p *Pool) Forget() {
	for p.kept.n > 0 {
		b := p.kept.oldest()
		p.forget(b)
		p.free = append(p.free, b)
	}
}

// forget takes a kept block out of the books. It is in nobody's hands then.
func (p *Pool) forget(b *block) {
	p.kept.remove(b)
	delete(p.known, b.key)
	b.named = false
}

// Adopt makes the known block of key k the one in which the sequence's next
// position lies, as if that position and those after it in the block had been
// computed: the length is then the block's end. It returns false, and changes
// nothing, when no block of that key is known.
func (s *Sequence) Adopt(k Key) bool {
	b := s.pool.known[k]
	if b == nil {
		return false
	}
	i := s.length / BlockSize
	s.pool.hold(b)
	if i == len(s.blocks) {
		s.link(b)
	} else {
		s.exchange(i, b)
	}
	s.length = (i + 1) * BlockSize
	s.room = max(s.room, s.length)
	return true
}

// Publish makes block i of the sequence, which must be full, known as k. When
// another block is known as k already, the sequence goes on with that one, whose
// bits are the same, and gives its own back.
func (s *Sequence) Publish(i int, k Key) {
	if i < 0 || (i+1)*BlockSize > s.length {
		panic(fmt.Sprintf("kv: publish block %d of a sequence of %d positions", i, s.length))
	}
	own := s.blocks[i]
	switch b := s.pool.known[k]; {
	case b == own:
	case b != nil:
		s.pool.hold(b)
		s.exchange(i, b)
	case own.named:
		panic(fmt.Sprintf("kv: block %d is known as %x, not %x", i, own.key[:4], k[:4]))
	default:
		own.key, own.named = k, true
		s.pool.known[k] = own
	}
}

// hold takes a reference to a known block.
func (p *Pool) hold(b *block) {
	if b.refs == 0 {
		p.kept.remove(b)
	}
	b.refs++
}

// exchange puts b, whose reference the caller took, in the place of block i.
func (s *Sequence) exchange(i int, b *block) {
	s.pool.drop(s.blocks[i])
	s.blocks[i] = b
	heads := s.pool.shape.KVHeads
	for j := range s.keys {
		s.keys[j][i] = s.pool.view(b, j/heads, j%heads, 0)
		s.values[j][i] = s.pool.view(b, j/heads, j%heads, 1)
	}
}

// ring is a list of blocks in order of their last use.
type ring struct {
	head block // before the oldest and after the newest
	n    int
}

// add puts a block at the end, as the newest.
func (r *ring) add(b *block) {
	h := &r.head
	if h.next == nil {
		h.next, h.prev = h, h
	}
	b.prev, b.next = h.prev, h
	h.prev.next, h.prev = b, b
	r.n++
}

func (r *ring) remove(b *block) {
	b.prev.next, b.next.prev = b.next, b.prev
	b.prev, b.next = nil, nil
	r.n--
}

// oldest is the block that was used least recently; there must be one.
func (r *ring) oldest() *block { return r.head.next }
