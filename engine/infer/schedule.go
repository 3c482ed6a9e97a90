package infer

import "dlm/engine/kv"

// item is a sequence as the scheduler sees it: integers only.
type item struct {
	seq     *Sequence // that it is part of; the scheduler does not look into it
	arrival uint64    // order in which sequences came
	account *account  // of the tenant that asked
	prompt  int       // positions of the prompt
	need    int       // positions to be computed, as far as known
	done    int       // positions computed
	paid    int       // positions that the account is charged for: starting over costs it nothing
	blocks  int       // cache blocks held
	whole   bool      // computed in one pass, without cache blocks
	shared  int       // of whole: positions that take no rows beside those that start in the same step
	guess   int       // rows wanted for tokens that are guessed to come after those known

	hits int // of a waiting one: blocks that the cache has for it
	idle int // of hits: those that nobody holds at the moment

	take    int  // decided: positions to compute in this step
	guessed int  // decided: rows for guesses, behind those of take; 0 unless take reaches need
	fresh   int  // decided: blocks to take from the pool in this step
	evict   bool // decided: the blocks are given back; start over, from the waiting line
	passed  bool // had its turn in this step
}

// limits bound one step.
type limits struct {
	rows      int // of the pass
	prefill   int // of rows: for prompts, in a step in which others decode; 0 = all
	chunk     int // positions of one sequence in a step
	sequences int // running at once
	blocks    int // of the cache, in all
	free      int // of blocks: those that can be taken
}

// holder knows what the blocks hold and who holds them.
type holder interface {
	// release gives back all blocks that a running item holds and returns by how
	// many the pool has more to give: what others hold too stays taken.
	release(it *item) int
	// look sets hits, idle and shared of a waiting item.
	look(it *item, started []*item)
	// follows reports whether one of started computes the block that it needs next.
	follows(it *item, started []*item) bool
}

// plan decides one step: take, guessed, fresh and evict of the items, and who is
// admitted.
//
//   - Decoding goes first: a sequence with one position left takes one row, so
//     a long prompt never holds back those that already stream.
//   - The remaining rows go to prompts, under way or waiting, in chunks: first to
//     the tenant that has had the least service, there in order of arrival. In a
//     step in which others decode, prompts get limits.prefill rows at most.
//   - A waiting sequence is admitted when there are rows, a place, and blocks for
//     all that it knows besides those that prompts under way will take. Where the
//     next in turn finds no room, nobody behind it is admitted, or it could wait forever.
//   - A prompt waits while another computes the block that it needs next.
//   - When blocks run out, the tenant that has had the most service gives up those
//     of its latest sequence, which starts over later. Who has had the least is
//     never chosen while others are left, so it gets on, and no step does nothing.
//   - Guesses get what is left, and take nothing from others.
type plan struct {
	limits
	h        holder
	running  []*item
	alive    int     // of running: not evicted
	decoding int     // that have a row
	admitted []*item // in order
	started  []*item // prompts that have rows
	reserved int     // blocks that prompts under way will still take
	cursors  []int   // where each waiting line stands
}

// decide decides a step. running is in order of admission; each of lines is one
// tenant's, in order of arrival.
func (p *plan) decide(running []*item, lines [][]*item, l limits) {
	p.limits, p.running, p.alive, p.decoding = l, running, len(running), 0
	p.admitted, p.started = p.admitted[:0], p.started[:0]
	for _, it := range running {
		it.begin()
	}
	p.decode()
	for {
		p.prompts(lines)
		if p.rows < l.rows || p.alive <= 1 {
			break
		}
		// Prompts under way hold all blocks and none can go on.
		p.giveUp(p.victim())
	}
	p.guesses()
}

func (it *item) begin() {
	it.take, it.guessed, it.fresh, it.evict, it.passed = 0, 0, 0, false, false
}

// decode grants a row to each sequence that has one position left.
func (p *plan) decode() {
	for _, it := range p.running {
		if it.need-it.done != 1 {
			continue
		}
		for !it.evict && it.lacks(1) > p.free {
			p.giveUp(p.victim())
		}
		if !it.evict && p.rows > 0 {
			p.grant(it, 1)
			p.decoding++
		}
	}
}

// prompts deals out rows to prompts, those under way and those that wait.
func (p *plan) prompts(lines [][]*item) {
	most := p.rows
	if p.decoding > 0 && p.prefill > 0 {
		most = min(most, p.prefill)
	}
	p.reserved = 0
	for _, it := range p.running {
		if !it.evict && it.take == 0 {
			it.passed = false
			p.reserved += it.lacks(it.need - it.done)
		}
	}
	p.cursors = append(p.cursors[:0], make([]int, len(lines))...)
	open := p.alive == len(p.running) // who was evicted comes back first
	for left := most; left > 0; {
		it, line := p.next(lines, open)
		if it == nil {
			return
		}
		if line >= 0 {
			p.cursors[line]++
			p.h.look(it, p.started)
		}
		switch {
		case p.h.follows(it, p.started):
			it.passed = true
		case line < 0:
			it.passed = true
			left -= p.start(it, left)
		default:
			n, ok := p.enter(it, left, most)
			left -= n
			open = open && ok
		}
	}
}

// next is who is in turn: of those under way, and of the waiting lines when they
// are open. line is -1 for one under way.
func (p *plan) next(lines [][]*item, open bool) (it *item, line int) {
	line = -1
	for _, r := range p.running {
		if !r.evict && !r.passed && r.take == 0 && (it == nil || r.before(it)) {
			it = r
		}
	}
	if !open || p.alive+len(p.admitted) >= p.sequences {
		return it, line
	}
	for i, l := range lines {
		if c := p.cursors[i]; c < len(l) && (it == nil || l[c].before(it)) {
			it, line = l[c], i
		}
	}
	return it, line
}

// before reports whether it is in turn before o.
func (it *item) before(o *item) bool {
	if a, b := it.account.served, o.account.served; a != b {
		return a < b
	}
	return it.arrival < o.arrival
}

// victim is who is in turn last.
func (p *plan) victim() (last *item) {
	for _, it := range p.running {
		if !it.evict && (last == nil || last.before(it)) {
			last = it
		}
	}
	return last
}

// start gives a prompt under way what it can use of left rows, and returns how
// many that are.
func (p *plan) start(it *item, left int) int {
	room := (it.blocks+p.free)*kv.BlockSize - it.done
	n := max(0, min(it.need-it.done, left, p.chunk, room))
	if n == 0 {
		return 0
	}
	p.grant(it, n)
	p.reserved -= it.fresh
	p.started = append(p.started, it)
	return n
}

// enter admits a waiting item, if there is room, and returns the rows that it
// takes of those left. most is what prompts could have had in this step.
func (p *plan) enter(it *item, left, most int) (rows int, ok bool) {
	it.begin()
	if it.whole {
		n := it.need - it.shared
		unused := left == most
		switch {
		case n <= left || unused && n <= p.rows && kv.BlocksFor(it.need) > p.blocks:
			p.admitted, p.started = append(p.admitted, it), append(p.started, it)
			it.take = it.need
			it.pay(it.need)
			p.rows -= n
			return n, true
		case n <= most || kv.BlocksFor(it.need) > p.blocks:
			return 0, false // in another step it has the rows
		}
		// Others decode all the time, and leave too few rows. The bits are the same.
		it.whole, it.shared = false, 0
		p.h.look(it, p.started)
	}
	lacks := kv.BlocksFor(it.need) - it.hits
	if lacks+it.idle > p.free-p.reserved {
		return 0, false
	}
	it.done, it.blocks = it.hits*kv.BlockSize, it.hits
	it.paid = max(it.paid, it.done)
	p.free -= it.idle
	p.reserved += lacks
	p.admitted = append(p.admitted, it)
	return p.start(it, left), true
}

// guesses deals out rows for guesses.
func (p *plan) guesses() {
	for _, list := range [2][]*item{p.running, p.admitted} {
		for _, it := range list {
			if it.guess == 0 || it.take == 0 || it.done+it.take != it.need {
				continue
			}
			room := (it.blocks+max(0, p.free-p.reserved))*kv.BlockSize - it.need
			n := max(0, min(it.guess, p.rows, room))
			b := it.lacks(it.take + n)
			it.guessed = n
			it.blocks += b
			it.fresh += b
			p.free -= b
			p.rows -= n
		}
	}
}

// lacks is the number of blocks that n more positions take.
func (it *item) lacks(n int) int {
	if it.whole {
		return 0
	}
	return max(0, kv.BlocksFor(it.done+n)-it.blocks)
}

// grant gives the item n positions, their rows and their blocks.
func (p *plan) grant(it *item, n int) {
	it.fresh = it.lacks(n)
	it.blocks += it.fresh
	it.take = n
	it.pay(it.done + n)
	p.free -= it.fresh
	p.rows -= n
}

// giveUp evicts a running item.
func (p *plan) giveUp(it *item) {
	if it.take > 0 {
		p.decoding--
		p.rows += it.take
	}
	p.free += it.fresh + p.h.release(it)
	it.begin()
	it.blocks, it.done, it.evict = 0, 0, true
	p.alive--
}
