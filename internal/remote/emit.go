package remote

import (
	"context"
	"sync"

	"dlm"
)

// Emitter hands the tokens of a call to its caller, one at a time, in the order
// in which they came. Who reads them from the network never waits for the
// caller: what it has not taken yet is kept.
type Emitter struct {
	emit func(int, dlm.Token)
	ctx  context.Context //nolint:containedctx // of the call that the emitter belongs to

	mu   sync.Mutex
	kept []emission
	ring chan struct{} // holds one when something is kept
	done chan struct{} // closed when the last was handed over
	end  bool
	cut  bool // the context ended before
}

type emission struct {
	i int
	t dlm.Token
}

// NewEmitter starts to hand tokens to emit, which may be nil, until ctx ends.
// Close must be called.
func NewEmitter(ctx context.Context, emit func(i int, t dlm.Token)) *Emitter {
	e := &Emitter{emit: emit, ctx: ctx, ring: make(chan struct{}, 1), done: make(chan struct{})}
	if emit == nil {
		close(e.done)
		return e
	}
	go e.run()
	return e
}

// Tell hands over a token of request i.
func (e *Emitter) Tell(i int, t dlm.Token) {
	if e.emit == nil {
		return
	}
	e.mu.Lock()
	e.kept = append(e.kept, emission{i, t})
	e.mu.Unlock()
	e.wake()
}

// Close waits until all was handed over, or what is being handed over is when
// the context has ended, whose error it returns then. No token is handed over
// afterwards.
func (e *Emitter) Close() error {
	if e.emit == nil {
		return nil
	}
	e.mu.Lock()
	e.end = true
	e.mu.Unlock()
	e.wake()
	<-e.done
	if e.cut {
		return e.ctx.Err()
	}
	return nil
}

func (e *Emitter) wake() {
	select {
	case e.ring <- struct{}{}:
	default:
	}
}

func (e *Emitter) run() {
	defer close(e.done)
	for {
		e.mu.Lock()
		batch, end := e.kept, e.end
		e.kept = nil
		e.mu.Unlock()
		for _, t := range batch {
			if e.ctx.Err() != nil {
				e.cut = true
				break
			}
			e.emit(t.i, t.t)
		}
		if len(batch) > 0 {
			continue
		}
		if end {
			return
		}
		<-e.ring
	}
}
