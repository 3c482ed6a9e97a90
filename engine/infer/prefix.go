package infer

import (
	"crypto/sha256"
	"encoding/binary"

	"dlm/engine/kv"
)

// Full blocks of the cache are shared by all sequences that begin with the same
// tokens under the same adapter. A block's key is the hash of its adapter's key and
// of all tokens up to its end, as a chain over blocks: SHA-256, since who could make
// two prompts with one key would be answered from the other's. A prompt that
// another asks for at the same time waits for its blocks instead of computing them.

// rootKey begins the chains of an adapter, or of the base.
func rootKey(adapter string) kv.Key { return sha256.Sum256([]byte(adapter)) }

// ownKey begins the chains of one tenant.
func ownKey(root kv.Key, tenant string) kv.Key { return sha256.Sum256(append(root[:], tenant...)) }

// nextKey is the key of the block of those tokens after the one of key before.
func nextKey(before kv.Key, ids []int32) kv.Key {
	var b [len(before) + 4*kv.BlockSize]byte
	n := copy(b[:], before[:])
	for _, id := range ids[:kv.BlockSize] {
		binary.LittleEndian.PutUint32(b[n:], uint32(id))
		n += 4
	}
	return sha256.Sum256(b[:])
}

// key is the key of block i, which must be full of known tokens.
func (s *Sequence) key(i int) kv.Key {
	for n := len(s.chain); n <= i; n++ {
		before := s.root
		if n > 0 {
			before = s.chain[n-1]
		}
		s.chain = append(s.chain, nextKey(before, s.ids[n*kv.BlockSize:]))
	}
	return s.chain[i]
}

// adoptable is the number of blocks that may come from the cache: those before the
// first position that has to be computed.
func (s *Sequence) adoptable() int {
	if !s.shares || s.whole {
		return 0
	}
	return s.firstWanted() / kv.BlockSize
}

// adopt takes the blocks that are known from where the sequence stands.
func (e *Engine) adopt(s *Sequence) {
	for i, n := s.done/kv.BlockSize, s.adoptable(); i < n && s.cache.Adopt(s.key(i)); i++ {
		s.done = s.cache.Len()
		e.found(s)
	}
	s.blocks = s.cache.Held()
}

// found counts positions up to done that were computed by others.
func (e *Engine) found(s *Sequence) {
	if n := min(s.done, s.prompt) - s.known; n > 0 {
		s.cached += n
		e.stats.Cached += uint64(n)
	}
	s.known = max(s.known, s.done)
	s.paid = max(s.paid, s.done)
	s.published = s.done / kv.BlockSize
}

// admit gives a sequence that starts to run its cache, with the blocks that look found.
func (e *Engine) admit(s *Sequence) {
	if n := len(e.spare); n > 0 {
		s.cache, e.spare = e.spare[n-1], e.spare[:n-1]
	} else {
		s.cache = e.pool.NewSequence()
	}
	for i := range s.hits {
		if !s.cache.Adopt(s.key(i)) {
			panic("infer: a block that was looked up is gone before any was taken")
		}
	}
	e.found(s)
}

// publish makes the blocks that are full by now known to others.
func (e *Engine) publish(s *Sequence) {
	if s.known = max(s.known, s.done); !s.shares || s.whole || s.err != nil {
		return
	}
	for ; (s.published+1)*kv.BlockSize <= s.done; s.published++ {
		s.cache.Publish(s.published, s.key(s.published))
	}
}

// release is part of holder.
func (e *Engine) release(it *item) int {
	before := e.pool.Free()
	e.leave(it.seq)
	return e.pool.Free() - before
}

// look is part of holder.
func (e *Engine) look(it *item, started []*item) {
	s := it.seq
	if it.hits, it.idle, it.shared = 0, 0, 0; it.whole {
		for _, o := range started {
			it.shared = max(it.shared, s.sharedWith(o.seq))
		}
		return
	}
	for n := s.adoptable(); it.hits < n; it.hits++ {
		known, idle := e.pool.Known(s.key(it.hits))
		if !known {
			return
		}
		if idle {
			it.idle++
		}
	}
}

// follows is part of holder.
func (e *Engine) follows(it *item, started []*item) bool {
	s, next := it.seq, it.done/kv.BlockSize
	if s.cache == nil {
		next = it.hits
	}
	if len(started) == 0 || next >= s.adoptable() {
		return false
	}
	key := s.key(next)
	for _, o := range started {
		if t := o.seq; t.shares && !t.whole && (next+1)*kv.BlockSize <= t.need && t.key(next) == key {
			return true
		}
	}
	return false
}
