package route

import (
	"context"
	"sync"
	"time"

	"dlm"
	"dlm/serve"
)

// Replica is one server of an upstream.
type Replica struct {
	Name      string // in metrics: its address
	Generator dlm.Generator
	Scorer    dlm.Scorer                  // nil = it has none
	Embedder  dlm.Embedder                // nil = it has none
	Health    func(context.Context) error // nil = it is taken to be up until it fails
}

// replica is a Replica and how it is doing.
type replica struct {
	Replica
	mu      sync.Mutex
	breaker breaker
	down    error     // what the last health check said
	rest    time.Time // it asked to be left alone until then
	busy    int       // requests under way
	stats   serve.UpstreamStats
}

// free says whether it may be asked now; if not, when it may at the earliest (zero
// = nobody knows).
func (r *replica) free(now time.Time, most int) (ok bool, load int, when time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.down != nil:
		return false, r.busy, time.Time{}
	case !r.breaker.allows(now):
		return false, r.busy, r.breaker.until
	case now.Before(r.rest):
		return false, r.busy, r.rest
	case most > 0 && r.busy >= most:
		return false, r.busy, time.Time{}
	}
	return true, r.busy, now
}

// take begins a try, if it may still be asked.
func (r *replica) take(now time.Time, most int, again bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil || !r.breaker.allows(now) || now.Before(r.rest) || most > 0 && r.busy >= most {
		return false
	}
	r.breaker.begin(now)
	r.busy++
	r.stats.Requests++
	if again {
		r.stats.Retries++
	}
	return true
}

// give ends a try.
func (r *replica) give(now time.Time, v verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy--
	switch v.blame {
	case nobody:
		r.breaker.neither()
	case caller:
		r.breaker.success(now)
	case overload:
		r.breaker.neither()
		r.stats.Failures++
		r.rest = now.Add(min(v.rest, longestRest))
	case server:
		r.breaker.failure(now)
		r.stats.Failures++
	}
}

// checked records a health check. One that is up again after its breaker opened is
// tried at once.
func (r *replica) checked(now time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil && err == nil && r.breaker.until.After(now) {
		r.breaker.until = now
	}
	r.down = err
}

func (r *replica) read(now time.Time, upstream string) serve.UpstreamStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Upstream, s.Replica, s.Healthy, s.InFlight, s.Breaker, s.Opened = upstream, r.Name, r.down == nil, r.busy, r.breaker.state(now), r.breaker.opened
	return s
}
