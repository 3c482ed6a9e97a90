package serve

import (
	"sync"

	"dlm"
)

// queue stands between a generator and a client: what is put never waits, so a slow
// client holds up no batch. It holds a request's tokens at most, and [Server]'s
// stall time bounds how long they are held.
type queue struct {
	mu     sync.Mutex
	wake   sync.Cond
	items  []item
	closed bool
}

// item is a token of choice i.
type item struct {
	i int
	t dlm.Token
}

func newQueue() *queue {
	q := &queue{}
	q.wake.L = &q.mu
	return q
}

func (q *queue) put(i int, t dlm.Token) {
	q.mu.Lock()
	q.items = append(q.items, item{i, t})
	q.mu.Unlock()
	q.wake.Signal()
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake.Signal()
}

// take waits for tokens and returns all there are, in the room of spare; none
// means that no more will come.
func (q *queue) take(spare []item) []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.wake.Wait()
	}
	all := q.items
	q.items = spare[:0]
	return all
}
