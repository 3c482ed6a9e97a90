package tokenizer

import (
	"container/heap"
	"math"
)

// noMerge is the rank of two tokens that do not merge.
const noMerge = math.MaxInt32

// mergeTable maps a pair of ids to its rank and to what it merges into. It is a
// hash table with open addressing: a Go map took half of the time of Encode.
type mergeTable struct {
	slots []mergeSlot
	mask  uint64
}

type mergeSlot struct {
	pair uint64 // left id << 32 | right id
	rank int32  // noMerge marks a free slot
	into int32
}

func newMergeTable(n int) mergeTable {
	size := 16
	for size < 2*n {
		size *= 2
	}
	t := mergeTable{slots: make([]mergeSlot, size), mask: uint64(size - 1)}
	for i := range t.slots {
		t.slots[i].rank = noMerge
	}
	return t
}

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

func (t *mergeTable) slot(pair uint64) *mergeSlot {
	for i := pair * 0x9E3779B97F4A7C15 >> 20; ; i++ {
		s := &t.slots[i&t.mask]
		if s.rank == noMerge || s.pair == pair {
			return s
		}
	}
}

// set adds a merge; of two merges of the same pair the later one counts.
func (t *mergeTable) set(left, right, rank, into int32) {
	pair := pairKey(left, right)
	*t.slot(pair) = mergeSlot{pair, rank, into}
}

// get returns the rank of a pair, noMerge when it does not merge, and the id
// that it becomes.
func (t *mergeTable) get(left, right int32) (rank, into int32) {
	s := t.slot(pairKey(left, right))
	return s.rank, s.into
}

// heapFrom is the length from which a heap beats looking for the lowest rank
// again after each merge.
const heapFrom = 64

// merge joins neighbours of ids in place, lowest rank first and leftmost among
// equals, until no pair merges; it returns the shortened slice.
func (t *mergeTable) merge(ids []int32) []int32 {
	if len(ids) >= heapFrom {
		return t.mergeHeap(ids)
	}
	var ranks, intos [heapFrom]int32 // of the pair that begins at i
	for i := 0; i+1 < len(ids); i++ {
		ranks[i], intos[i] = t.get(ids[i], ids[i+1])
	}
	for len(ids) > 1 {
		best, rank := 0, ranks[0]
		for i, r := range ranks[:len(ids)-1] {
			if r < rank {
				best, rank = i, r
			}
		}
		if rank == noMerge {
			break
		}
		n := len(ids)
		ids[best] = intos[best]
		copy(ids[best+1:], ids[best+2:])
		copy(ranks[best+1:n], ranks[best+2:])
		copy(intos[best+1:n], intos[best+2:])
		ids = ids[:n-1]
		if best > 0 {
			ranks[best-1], intos[best-1] = t.get(ids[best-1], ids[best])
		}
		if best+1 < len(ids) {
			ranks[best], intos[best] = t.get(ids[best], ids[best+1])
		}
	}
	return ids
}

// candidate is a pair that may merge: its rank and the place of its left part.
type candidate struct{ rank, at int32 }

type candidates []candidate

func (c candidates) Len() int { return len(c) }
func (c candidates) Less(i, j int) bool {
	return c[i].rank < c[j].rank || c[i].rank == c[j].rank && c[i].at < c[j].at
}
func (c candidates) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)   { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	*c = (*c)[:last]
	return x
}

// mergeHeap is merge for long words, in O(n log n). ids stay where they are and
// are linked; a candidate whose pair has changed since is skipped.
func (t *mergeTable) mergeHeap(ids []int32) []int32 {
	n := int32(len(ids))
	next, prev := make([]int32, n), make([]int32, n) // next is n at the end, prev -1 at the start
	alive := make([]bool, n)
	queue := make(candidates, 0, n)
	for i := range n {
		next[i], prev[i], alive[i] = i+1, i-1, true
		if i+1 < n {
			if rank, _ := t.get(ids[i], ids[i+1]); rank != noMerge {
				queue = append(queue, candidate{rank, i})
			}
		}
	}
	heap.Init(&queue)
	offer := func(i int32) {
		if i >= 0 && next[i] < n {
			if rank, _ := t.get(ids[i], ids[next[i]]); rank != noMerge {
				heap.Push(&queue, candidate{rank, i})
			}
		}
	}
	for len(queue) > 0 {
		c := heap.Pop(&queue).(candidate)
		i := c.at
		if !alive[i] || next[i] >= n {
			continue
		}
		right := next[i]
		rank, into := t.get(ids[i], ids[right])
		if rank != c.rank {
			continue
		}
		ids[i] = into
		alive[right] = false
		next[i] = next[right]
		if next[i] < n {
			prev[next[i]] = i
		}
		offer(prev[i])
		offer(i)
	}
	out := ids[:0]
	for i := int32(0); i < n; i = next[i] {
		out = append(out, ids[i])
	}
	return out
}
