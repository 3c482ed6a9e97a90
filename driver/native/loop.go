package native

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"dlm/engine/infer"
)

// errClosed is what requests get that a Close cuts off.
var errClosed = errors.New("the base was closed while it answered")

// call is one call of Generate or Score: its sequences run in the engine with
// those of all other calls. The loop hands over what happens; the caller's own
// goroutine takes it, so that a slow one holds up nobody.
type call struct {
	wake chan struct{} // of room 1: something happened
	own  bool          // see ownWork

	mu      sync.Mutex
	events  []callEvent
	left    int         // sequences that have not ended
	err     error       // of the engine itself: it ended all of them
	started []time.Time // when each sequence first had a place in a step
}

// callEvent is a token of one sequence.
type callEvent struct {
	i  int
	t  infer.Token
	at time.Time
}

// live is a sequence in the engine and the call that waits for it.
type live struct {
	seq     *infer.Sequence
	call    *call
	i       int // of the call
	started bool
}

func newCall(sequences int) *call {
	return &call{wake: make(chan struct{}, 1), left: sequences, started: make([]time.Time, sequences)}
}

// emit is called by the engine with a token of sequence i.
func (c *call) emit(i int, t infer.Token) {
	c.mu.Lock()
	c.events = append(c.events, callEvent{i, t, time.Now()})
	c.mu.Unlock()
}

// signal wakes the caller.
func (c *call) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// take returns what came since the last take, and whether all has ended. The two
// buffers change hands.
func (c *call) take(spare []callEvent) (events []callEvent, done bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	events, c.events = c.events, spare[:0]
	return events, c.left == 0 || c.err != nil, c.err
}

// wait hands tokens to each until all sequences have ended or ctx has.
func (c *call) wait(ctx context.Context, each func(callEvent)) error {
	var spare []callEvent
	for {
		events, done, err := c.take(spare)
		for _, e := range events {
			if err := ctx.Err(); err != nil { // whoever cancelled wants no more
				return err
			}
			each(e)
		}
		spare = events
		if done {
			return err
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// start puts the call's sequences under the loop's care. Callers hold n.mu.
func (n *Native) start(c *call, seqs []*infer.Sequence) {
	for i, s := range seqs {
		if s.Done() { // nothing to compute
			c.started[i] = time.Now()
			c.left--
			continue
		}
		n.live = append(n.live, live{seq: s, call: c, i: i})
	}
	if c.left == 0 {
		c.signal()
	}
	if len(n.live) > 0 && !n.looping {
		n.looping = true
		go n.loop()
	}
}

// loop steps the engine while there are sequences, one step a hold of n.mu, so
// that calls enter and leave between steps.
//
// Between two steps it lets the goroutines run that pass tokens on: a step keeps
// every thread busy, and without this they would wait for Go's preemption, ten
// milliseconds or several steps later, and streams would come in bursts.
func (n *Native) loop() {
	for n.turn() {
		runtime.Gosched()
	}
}

// turn makes one step and tells the calls; false when there is nothing left.
func (n *Native) turn() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		n.fail(errClosed)
	}
	if len(n.live) == 0 {
		n.looping = false
		return false
	}
	n.engine.SetPrefillRows(n.budget.Rows())
	begin := time.Now()
	err := n.engine.Step()
	n.budget.Observe(n.engine.LastStep(), time.Since(begin))
	if err != nil {
		n.fail(err)
		n.engine = nil // its state is not to be trusted: a new one is made when asked
		n.looping = false
		return false
	}
	n.tell(begin)
	return true
}

// tell signals every call to whose sequences something happened, and lets go of
// what has ended. begin is when the step began. Callers hold n.mu.
func (n *Native) tell(begin time.Time) {
	kept := n.live[:0]
	for _, l := range n.live {
		ended := l.seq.Done()
		l.call.mu.Lock()
		if !l.started && l.seq.Started() {
			l.started = true
			l.call.started[l.i] = begin
		}
		if ended {
			l.call.left--
		}
		news := l.call.left == 0 || len(l.call.events) > 0
		l.call.mu.Unlock()
		if news {
			l.call.signal()
		}
		if !ended {
			kept = append(kept, l)
		}
	}
	clear(n.live[len(kept):])
	n.live = kept
}

// fail ends every call with err. Callers hold n.mu.
func (n *Native) fail(err error) {
	for _, l := range n.live {
		l.call.mu.Lock()
		l.call.err = err
		l.call.mu.Unlock()
		l.call.signal()
	}
	clear(n.live)
	n.live = n.live[:0]
}

// leave takes a call's sequences out of the engine, which frees their blocks.
func (n *Native) leave(c *call, e *infer.Engine, seqs []*infer.Sequence) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range seqs {
		e.Drop(s)
	}
	kept := n.live[:0]
	for _, l := range n.live {
		if l.call != c {
			kept = append(kept, l)
		}
	}
	clear(n.live[len(kept):])
	n.live = kept
}
