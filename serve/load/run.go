package load

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Progress is how far a load is.
type Progress struct{ Sent, Done, Failed, Running int }

// Run sends what the plan says and reports what came of it. progress, when not
// nil, is called about once a second. When ctx ends, what is under way is dropped
// and the report is of what had been answered; the error then is ctx's.
func Run(ctx context.Context, s *Server, p *Plan, progress func(Progress)) (*Report, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	r := &runner{server: s, plan: p, client: s.client(), source: newSource(p)}
	defer r.client.CloseIdleConnections()
	if err := r.warmUp(ctx); err != nil {
		return nil, err
	}
	stop := r.watch(progress)
	defer stop()
	r.start = time.Now()
	if p.Concurrency > 0 {
		r.closed(ctx)
	} else {
		r.open(ctx)
	}
	r.cut = ctx.Err() != nil
	return r.report(), ctx.Err()
}

// runner is a load under way.
type runner struct {
	server *Server
	plan   *Plan
	client *http.Client
	source *source
	start  time.Time

	mu       sync.Mutex
	done     []*exchange
	progress Progress
	peak     int           // most requests under way
	sentAll  time.Duration // when the last one was sent
	cut      bool          // the load was stopped from outside
}

// warmUp sends the first requests, which bring adapters into memory. A server
// that answers none of them is no server to put load on.
func (r *runner) warmUp(ctx context.Context) error {
	start := time.Now()
	for _, a := range r.source.warm() {
		if x := r.server.do(ctx, r.client, r.plan, a, start, time.Since(start)); x.kind != "" {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("load: warming up %s: %s: %s", a.model, x.kind, x.detail)
		}
	}
	return nil
}

// retreat is how long a closed loop waits after a failure: a server that refuses
// is not to be asked thousands of times a second.
const retreat = 20 * time.Millisecond

// exchange sends one request and keeps what came of it.
func (r *runner) exchange(ctx context.Context, a ask, due time.Duration) (ok bool) {
	x := r.server.do(ctx, r.client, r.plan, a, r.start, due)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress.Running--
	if x.kind == failStopped {
		return false
	}
	r.progress.Done++
	if x.kind != "" {
		r.progress.Failed++
	}
	r.done = append(r.done, x)
	return x.kind == ""
}

// began counts a request that is about to be sent.
func (r *runner) began() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress.Sent++
	r.progress.Running++
	r.peak = max(r.peak, r.progress.Running)
}

// more says whether request i may be sent at this time.
func (r *runner) more(i int, at time.Duration) bool {
	return (r.plan.Requests <= 0 || i < r.plan.Requests) && (r.plan.Duration <= 0 || at < r.plan.Duration)
}

// closed keeps Concurrency requests under way. A request is due when the one before it was over.
func (r *runner) closed(ctx context.Context) {
	var wg sync.WaitGroup
	next := 0
	for range r.plan.Concurrency {
		wg.Go(func() {
			for ctx.Err() == nil {
				r.mu.Lock()
				i, at := next, time.Since(r.start)
				next++
				r.mu.Unlock()
				if !r.more(i, at) {
					return
				}
				a := r.source.request(i)
				r.began()
				if !r.exchange(ctx, a, time.Since(r.start)) {
					time.Sleep(retreat)
				}
			}
		})
	}
	wg.Wait()
	r.sentAll = time.Since(r.start)
}

// open sends each request when it is due, however many are under way.
func (r *runner) open(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	times := newArrivals(r.plan)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := 0; ; i++ {
		due := times.next()
		if !r.more(i, due) {
			break
		}
		a := r.source.request(i) // before it is due, so that making it delays nothing
		timer.Reset(due - time.Since(r.start))
		select {
		case <-ctx.Done():
			r.sentAll = time.Since(r.start)
			return
		case <-timer.C:
		}
		r.began()
		r.sentAll = due
		wg.Go(func() { r.exchange(ctx, a, due) })
	}
}

// watch calls progress about once a second until the function that it returns is called.
func (r *runner) watch(progress func(Progress)) (stop func()) {
	if progress == nil {
		return func() {}
	}
	quit, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				r.mu.Lock()
				now := r.progress
				r.mu.Unlock()
				progress(now)
			}
		}
	}()
	return func() { close(quit); <-over }
}
