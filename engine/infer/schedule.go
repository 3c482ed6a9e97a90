package infer

import "dlm/engine/kv"

// item is a sequence as the scheduler sees it: integers only.
type item struct {
	need   int  // positions to be computed, as far as known
	done   int  // positions computed
	blocks int  // cache blocks held
	whole  bool // computed in one pass, without cache blocks
	shared int  // of whole: positions that take no rows when the item before it starts in the same step

	guess int // rows wanted for tokens that are guessed to come after those known

	take    int  // decided: positions to compute in this step
	guessed int  // decided: rows for guesses, behind those of take; 0 unless take reaches need
	evict   bool // decided: give the blocks back and start over, from the head of the waiting line
}

// limits bound one step.
type limits struct {
	rows      int // of the pass
	chunk     int // positions of one sequence in a step
	sequences int // running at once
	free      int // cache blocks
}

// schedule decides one step. running and waiting are in order of arrival.
//
//   - Decoding goes first: a sequence with one position left takes one row, so
//     a long prompt never holds back those that already stream.
//   - The remaining rows go to prefill in order of arrival, in chunks.
//   - Waiting sequences are admitted in order of arrival while there are rows,
//     places, and blocks for all that they know.
//   - When blocks run out, the latest sequence gives up its own and starts over
//     later, so the earliest always gets on and no step does nothing.
//
// It returns how many of waiting start to run.
func schedule(running, waiting []*item, l limits) (admit int) {
	alive := len(running) // running[alive:] are evicted
	rows := l.rows
	for _, it := range running {
		it.take, it.evict = 0, false
	}
	for i := 0; i < alive; i++ {
		it := running[i]
		if it.need-it.done != 1 || it.whole {
			continue
		}
		for alive > i && it.lacks(1) > l.free {
			alive--
			l.free += running[alive].giveUp()
		}
		if alive > i && rows > 0 {
			it.grant(1, &rows, &l.free)
		}
	}
	for {
		for _, it := range running[:alive] {
			if it.take == 0 {
				it.grant(it.prefill(rows, l), &rows, &l.free)
			}
		}
		if rows < l.rows || alive <= 1 {
			break
		}
		// Prompts under way hold all blocks and none can go on.
		alive--
		l.free += running[alive].giveUp()
	}
	if alive < len(running) {
		return 0 // blocks are short
	}
	for _, it := range waiting {
		it.take, it.evict = 0, false
		if admit == 0 {
			it.shared = 0 // the item before it is not in this pass
		}
		if alive+admit == l.sequences || it.lacks(it.need) > l.free {
			break
		}
		n := it.prefill(rows, l)
		if n == 0 {
			break
		}
		it.grant(n, &rows, &l.free)
		admit++
	}
	return admit
}

// lacks is the number of blocks that n more positions take.
func (it *item) lacks(n int) int {
	if it.whole {
		return 0
	}
	return max(0, kv.BlocksFor(it.done+n)-it.blocks)
}

// prefill is the number of positions that the item can compute with what is left.
func (it *item) prefill(rows int, l limits) int {
	n := it.need - it.done
	if it.whole {
		if n-it.shared > rows {
			return 0
		}
		return n
	}
	room := (it.blocks+l.free)*kv.BlockSize - it.done
	return max(0, min(n, rows, l.chunk, room))
}

// grant gives the item n positions, their rows and their blocks.
func (it *item) grant(n int, rows, free *int) {
	b := it.lacks(n)
	it.blocks += b
	*free -= b
	*rows -= n - it.shared
	it.take = n
}

// giveUp evicts the item and returns the number of blocks that it held.
func (it *item) giveUp() (blocks int) {
	blocks = it.blocks
	it.blocks, it.done, it.evict = 0, 0, true
	return blocks
}
