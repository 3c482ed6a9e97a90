package native

import (
	"context"
	"math"
	"slices"
)

// waiter waits for room for an adapter.
type waiter struct {
	bytes int64
	turn  chan struct{} // closed when there is room
}

// patience is how often adapters that are in memory may be used while another waits
// for room: popular ones would else keep the rest out for good.
const patience = 64

// fits says whether there is room for an adapter of that many bytes once all that
// may go has gone. One that nothing is in the way of always fits. Callers hold s.mu.
func (s *shelf) fits(bytes int64) bool {
	stays, used := bytes+s.coming, s.coming > 0
	for _, h := range s.held {
		if h.uses > 0 || h.pinned {
			stays += h.bytes
		}
		used = used || h.uses > 0
	}
	return stays <= s.budget || !used
}

// expect is the memory that an adapter with a weights file of that size will take, as
// far as one can say before it is read. Callers hold s.mu.
func (s *shelf) expect(file int64) int64 {
	if s.ratio == 0 {
		return file
	}
	return int64(math.Ceil(float64(file) * s.ratio))
}

// wait waits in line for room.
func (s *shelf) wait(ctx context.Context, bytes int64) error {
	w := &waiter{bytes: bytes, turn: make(chan struct{})}
	s.mu.Lock()
	s.line = append(s.line, w)
	s.call()
	s.mu.Unlock()
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		before := len(s.line)
		s.line = slices.DeleteFunc(s.line, func(o *waiter) bool { return o == w })
		if len(s.line) == before { // its turn came just now
			s.coming -= bytes
		}
		s.call() // the next one may be smaller
		return ctx.Err()
	}
}

// call lets those go in for whom there is room now, oldest first. Callers hold s.mu.
func (s *shelf) call() {
	for len(s.line) > 0 && s.fits(s.line[0].bytes) {
		s.coming += s.line[0].bytes
		close(s.line[0].turn)
		s.line, s.passed = s.line[1:], 0
	}
}
