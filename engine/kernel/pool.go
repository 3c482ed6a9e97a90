package kernel

import (
	"sync"
	"sync/atomic"
	"time"
)

// A pool runs tasks on a fixed set of workers and waits for them. The caller
// is worker 0. Idle workers spin for about a millisecond, because a layer
// forks hundreds of times with microseconds between, then park on a channel.
//
// All shared state of a run is one word, ticket: which run it is, how many
// tasks it has and which is next. A worker that comes late finds no task left
// and touches nothing else, so a run never waits for a sleeping worker.
type pool struct {
	workers int
	mu      sync.Mutex // one run at a time
	f       func(task, worker int)
	watch   *Watch // nil: nobody counts

	_      [vectorBytes]byte
	ticket atomic.Uint64 // run number (24 bits), tasks (20), next task (20)
	_      [vectorBytes]byte
	done   atomic.Int64 // finished tasks of this run
	_      [vectorBytes]byte
	parked []parking // by worker
	closed atomic.Bool
}

// parking is where one worker sleeps. Padded: workers must not share lines.
type parking struct {
	asleep atomic.Bool
	wake   chan struct{}
	_      [vectorBytes]byte
}

const (
	taskBits = 20
	maxTasks = 1<<taskBits - 1
	spinFor  = time.Millisecond
)

func newPool(workers int) *pool {
	p := &pool{workers: workers, parked: make([]parking, workers)}
	for w := 1; w < workers; w++ {
		p.parked[w].wake = make(chan struct{}, 1)
		go p.work(w)
	}
	return p
}

// run calls f for each task in 0..tasks, handed out in order, and returns when
// all are done. The caller holds p.mu.
func (p *pool) run(tasks int, f func(task, worker int)) {
	if p.watch != nil {
		p.watch.timed(p, tasks, f)
		return
	}
	p.hand(tasks, f)
}

// hand is run without the watch.
func (p *pool) hand(tasks int, f func(task, worker int)) {
	if tasks > maxTasks {
		panic("kernel: too many tasks in one Run")
	}
	if tasks <= 1 || p.workers == 1 {
		for t := range tasks {
			f(t, 0)
		}
		return
	}
	p.f = f
	p.done.Store(0)
	run := p.ticket.Load()>>(2*taskBits) + 1
	p.ticket.Store(run<<(2*taskBits) | uint64(tasks)<<taskBits)
	for w := 1; w < min(p.workers, tasks); w++ {
		if k := &p.parked[w]; k.asleep.Load() && k.asleep.CompareAndSwap(true, false) {
			k.wake <- struct{}{}
		}
	}
	p.drain(0)
	for spins := 0; p.done.Load() != int64(tasks); spins++ {
		if relax(); spins > 1<<12 {
			yield() // a worker lost its CPU: let it have ours
		}
	}
	p.f = nil
}

// drain takes tasks of the current run until none is left.
func (p *pool) drain(worker int) {
	for {
		t := p.ticket.Load()
		tasks, next := t>>taskBits&maxTasks, t&maxTasks
		if next >= tasks {
			return
		}
		if !p.ticket.CompareAndSwap(t, t+1) {
			continue
		}
		// The task is ours, so its run cannot end before we finish it: f is stable.
		p.f(int(next), worker)
		p.done.Add(1)
	}
}

func (p *pool) work(worker int) {
	k := &p.parked[worker]
	seen := uint64(0)
	for {
		start := time.Now()
		for spins := 1; ; spins++ {
			if t := p.ticket.Load(); t>>(2*taskBits) != seen {
				seen = t >> (2 * taskBits)
				p.drain(worker)
				start = time.Now()
			}
			if p.closed.Load() {
				return
			}
			if relax(); spins&63 == 0 && time.Since(start) > spinFor {
				break
			}
		}
		k.asleep.Store(true)
		if p.ticket.Load()>>(2*taskBits) != seen || p.closed.Load() {
			if k.asleep.CompareAndSwap(true, false) {
				continue // work came between the last look and the sleep
			}
		}
		<-k.wake
	}
}

func (p *pool) close() {
	p.closed.Store(true)
	for w := 1; w < p.workers; w++ {
		if k := &p.parked[w]; k.asleep.CompareAndSwap(true, false) {
			k.wake <- struct{}{}
		}
	}
}

// relax pauses for some tens of nanoseconds. It is not inlined, so that its
// prologue lets the garbage collector stop a spinning worker.
//
//go:noinline
func relax() { pause(4) }
