package tokenizer

import (
	"hash/maphash"
	"sync/atomic"
)

const (
	cacheSlots   = 1 << 14 // at most so many words are kept, some 2 MiB
	cacheMaxWord = 48      // bytes; longer words are rarely seen twice
)

// wordCache remembers the ids of words lately seen. It is a table with one place
// per hash, where a new word replaces the one before: bounded, without locks,
// and without influence on the ids, which are a function of the word.
type wordCache struct {
	seed  maphash.Seed
	slots []atomic.Pointer[cachedWord]
}

type cachedWord struct {
	word string
	ids  []int32
}

func newWordCache() *wordCache {
	return &wordCache{seed: maphash.MakeSeed(), slots: make([]atomic.Pointer[cachedWord], cacheSlots)}
}

func (c *wordCache) slot(word string) *atomic.Pointer[cachedWord] {
	return &c.slots[maphash.String(c.seed, word)%cacheSlots]
}
