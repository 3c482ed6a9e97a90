package route

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"dlm"
	"dlm/serve"
)

// PoolOptions say how replicas are asked. Zero fields get the defaults in brackets.
type PoolOptions struct {
	InFlight int            // requests under way at one replica; more are refused as busy [no limit]
	Tries    int            // of one request, the first one too; 1 = never again [3]
	Backoff  time.Duration  // before the second try of one replica, doubled with each [100 ms]
	Patience time.Duration  // how long a try may be waited for at most [2 s]
	Share    float64        // retries for each request, over time [0.1]
	Burst    float64        // retries that may be made at once beyond that [10]
	Check    time.Duration  // between health checks [5 s]
	Timeout  time.Duration  // of one health check [2 s]
	Breaker  BreakerOptions // of each replica
	Jitter   func() float64 // from 0 up to 1, spreads waits; nil = random
}

func (o PoolOptions) withDefaults() PoolOptions {
	set(&o.Tries, 3)
	set(&o.Backoff, 100*time.Millisecond)
	set(&o.Patience, 2*time.Second)
	set(&o.Share, 0.1)
	set(&o.Burst, 10)
	set(&o.Check, 5*time.Second)
	set(&o.Timeout, 2*time.Second)
	o.Breaker = o.Breaker.withDefaults()
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	return o
}

// Pool is one generator of several replicas. A request goes to the replica with
// the least under way. It is tried again when a replica failed and nothing of its
// answer was passed on, as far as the retry budget goes.
type Pool struct {
	name     string
	o        PoolOptions
	replicas []*replica
	budget   budget
	turn     atomic.Uint64
}

var (
	_ dlm.Generator = (*Pool)(nil)
	_ dlm.Scorer    = (*Pool)(nil)
	_ dlm.Embedder  = (*Pool)(nil)
)

// NewPool makes a pool; name is the upstream's. Run checks its replicas' health.
func NewPool(name string, replicas []Replica, o PoolOptions) (*Pool, error) {
	if len(replicas) == 0 {
		return nil, fmt.Errorf("upstream %s has no replica", name)
	}
	o = o.withDefaults()
	p := &Pool{name: name, o: o, budget: budget{share: o.Share, most: o.Burst}}
	for _, r := range replicas {
		p.replicas = append(p.replicas, &replica{Replica: r, breaker: breaker{o: o.Breaker}})
	}
	return p, nil
}

// Run checks the health of replicas until ctx ends; at once, and then now and again.
func (p *Pool) Run(ctx context.Context) {
	tick := time.NewTicker(p.o.Check)
	defer tick.Stop()
	for {
		p.check(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *Pool) check(ctx context.Context) {
	var all sync.WaitGroup
	for _, r := range p.replicas {
		if r.Health == nil {
			continue
		}
		all.Go(func() {
			inTime, cancel := context.WithTimeout(ctx, p.o.Timeout)
			defer cancel()
			err := r.Health(inTime)
			if ctx.Err() == nil {
				r.checked(time.Now(), err)
			}
		})
	}
	all.Wait()
}

// Generate implements dlm.Generator. After the first token that was passed on, a
// failure is the caller's to see.
func (p *Pool) Generate(ctx context.Context, reqs []dlm.GenerateRequest, emit func(int, dlm.Token)) ([]dlm.Completion, error) {
	var out []dlm.Completion
	passedOn := false
	watched := emit
	if emit != nil {
		watched = func(i int, t dlm.Token) { passedOn = true; emit(i, t) }
	}
	err := p.do(ctx, func() bool { return !passedOn }, func(ctx context.Context, r *replica) (err error) {
		out, err = r.Generator.Generate(ctx, reqs, watched)
		return err
	})
	return out, err
}

// Score implements dlm.Scorer.
func (p *Pool) Score(ctx context.Context, reqs []dlm.ScoreRequest) ([]dlm.Scored, error) {
	var out []dlm.Scored
	err := p.do(ctx, always, func(ctx context.Context, r *replica) (err error) {
		if r.Scorer == nil {
			return dlm.Faultf(dlm.FaultUnsupported, "prompt", "upstream %s scores no given text", p.name)
		}
		out, err = r.Scorer.Score(ctx, reqs)
		return err
	})
	return out, err
}

// Embed implements dlm.Embedder.
func (p *Pool) Embed(ctx context.Context, texts []string) ([]dlm.Embedded, error) {
	var out []dlm.Embedded
	err := p.do(ctx, always, func(ctx context.Context, r *replica) (err error) {
		if r.Embedder == nil {
			return dlm.Faultf(dlm.FaultUnsupported, "model", "upstream %s makes no embeddings", p.name)
		}
		out, err = r.Embedder.Embed(ctx, texts)
		return err
	})
	return out, err
}

func always() bool { return true }

// do asks replicas until one answers.
func (p *Pool) do(ctx context.Context, again func() bool, ask func(context.Context, *replica) error) error {
	p.budget.request()
	var last error
	failed := map[*replica]int{}        // tries
	resting := map[*replica]time.Time{} // until when they are not tried again
	for try := range p.o.Tries {
		if try > 0 && (!again() || !p.budget.retry()) {
			return last
		}
		r, err := p.pick(ctx, resting, try > 0)
		if err != nil {
			if last != nil {
				return last // says more than that nobody is left
			}
			return err
		}
		v := p.try(ctx, r, ask)
		if !v.retry {
			return v.err
		}
		failed[r]++
		resting[r] = time.Now().Add(p.backoff(failed[r]))
		last = v.err
	}
	return last
}

// try asks one replica, which was taken.
func (p *Pool) try(ctx context.Context, r *replica, ask func(context.Context, *replica) error) verdict {
	v := verdict{blame: nobody} // also when ask panics
	defer func() { r.give(time.Now(), v) }()
	v = judge(ctx, p.name, ask(ctx, r))
	return v
}

// pick takes the replica to ask: the one with the least under way. Those that
// failed this request rest first; a repeated try may wait for one.
func (p *Pool) pick(ctx context.Context, resting map[*replica]time.Time, again bool) (*replica, error) {
	deadline := time.Now().Add(p.o.Patience)
	for {
		now := time.Now()
		best, fewest := (*replica)(nil), 0
		soonest := time.Time{} // at which one may be asked that may not now
		first := int(p.turn.Add(1))
		for i := range p.replicas {
			r := p.replicas[(first+i)%len(p.replicas)]
			ok, load, when := r.free(now, p.o.InFlight)
			if until := resting[r]; ok && until.After(now) {
				ok, when = false, until
			}
			switch {
			case ok && (best == nil || load < fewest):
				best, fewest = r, load
			case !ok && !when.IsZero() && (soonest.IsZero() || when.Before(soonest)):
				soonest = when
			}
		}
		if best != nil {
			if best.take(now, p.o.InFlight, again) {
				return best, nil
			}
			continue // another request was faster
		}
		if !again || soonest.IsZero() || soonest.After(deadline) {
			return nil, p.nobody(now, soonest)
		}
		if err := sleep(ctx, soonest.Sub(now)); err != nil {
			return nil, err
		}
	}
}

// backoff is how long to wait before a replica is asked again that failed n times.
func (p *Pool) backoff(n int) time.Duration {
	return time.Duration(float64(p.o.Backoff<<min(n-1, 6)) * (0.5 + p.o.Jitter()))
}

// nobody says why no replica can be asked.
func (p *Pool) nobody(now, soonest time.Time) error {
	down, open, full := 0, 0, 0
	for _, r := range p.replicas {
		s := r.read(now, p.name)
		switch {
		case !s.Healthy:
			down++
		case s.Breaker != "closed":
			open++
		default:
			full++
		}
	}
	if full == 0 {
		f := dlm.Faultf(dlm.FaultUpstream, "", "upstream %s does not answer: of %d servers %d are down and %d failed too often a moment ago", p.name, len(p.replicas), down, open)
		f.Retry = wait(now, soonest)
		return f
	}
	f := dlm.Faultf(dlm.FaultBusy, "", "upstream %s has no room: of %d servers %d are full", p.name, len(p.replicas), full)
	f.Retry = wait(now, soonest)
	return f
}

// wait is how long until then, at least a second.
func wait(now, then time.Time) time.Duration { return max(time.Second, then.Sub(now)) }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// usable says whether any replica can be asked.
func (p *Pool) usable() bool {
	for _, r := range p.replicas {
		if s := r.read(time.Now(), p.name); s.Healthy && s.Breaker != "open" {
			return true
		}
	}
	return false
}

// Upstreams is how each replica is doing.
func (p *Pool) Upstreams() []serve.UpstreamStats {
	now := time.Now()
	var out []serve.UpstreamStats
	for _, r := range p.replicas {
		out = append(out, r.read(now, p.name))
	}
	return out
}
