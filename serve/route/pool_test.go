package route

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dlm"
)

// scripted answers each call with the next step; the last one stays.
type scripted struct {
	mu    sync.Mutex
	name  string
	steps []func(ctx context.Context, emit func(int, dlm.Token)) error
	calls []time.Duration // since began
	began time.Time
}

func script(name string, steps ...func(context.Context, func(int, dlm.Token)) error) *scripted {
	return &scripted{name: name, steps: steps, began: time.Now()}
}

func (s *scripted) Generate(ctx context.Context, reqs []dlm.GenerateRequest, emit func(int, dlm.Token)) ([]dlm.Completion, error) {
	s.mu.Lock()
	s.calls = append(s.calls, time.Since(s.began))
	step := s.steps[0]
	if len(s.steps) > 1 {
		s.steps = s.steps[1:]
	}
	s.mu.Unlock()
	if err := step(ctx, emit); err != nil {
		return nil, err
	}
	return []dlm.Completion{{Text: s.name}}, nil
}

func (s *scripted) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

func fine(context.Context, func(int, dlm.Token)) error { return nil }

func fails(err error) func(context.Context, func(int, dlm.Token)) error {
	return func(context.Context, func(int, dlm.Token)) error { return err }
}

// midway fails after one token.
func midway(_ context.Context, emit func(int, dlm.Token)) error {
	if emit != nil {
		emit(0, dlm.Token{Text: "x"})
	}
	return dlm.Faultf(dlm.FaultUpstream, "", "cut off")
}

func hangs(d time.Duration) func(context.Context, func(int, dlm.Token)) error {
	return func(ctx context.Context, _ func(int, dlm.Token)) error { return sleep(ctx, d) }
}

var (
	bad  = dlm.Faultf(dlm.FaultUpstream, "", "502")
	full = &dlm.Fault{Kind: dlm.FaultBusy, Retry: time.Second, Err: errors.New("429")}
)

func pool(t *testing.T, o PoolOptions, gens ...dlm.Generator) *Pool {
	t.Helper()
	o.Jitter = func() float64 { return 0.5 }
	var rs []Replica
	for i, g := range gens {
		rs = append(rs, Replica{Name: fmt.Sprint("r", i), Generator: g})
	}
	p, err := NewPool("up", rs, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ask(p dlm.Generator) (string, error) {
	out, err := p.Generate(context.Background(), []dlm.GenerateRequest{{Raw: "x"}}, func(int, dlm.Token) {})
	if err != nil {
		return "", err
	}
	return out[0].Text, nil
}

func TestRetries(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []func(context.Context, func(int, dlm.Token)) error
		kind  dlm.FaultKind // of the error; "" = answered
		calls []time.Duration
	}{
		{"answered", []func(context.Context, func(int, dlm.Token)) error{fine}, "", []time.Duration{0}},
		{"two failures, then an answer", []func(context.Context, func(int, dlm.Token)) error{fails(bad), fails(io.ErrUnexpectedEOF), fine}, "",
			[]time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond}},
		{"three failures", []func(context.Context, func(int, dlm.Token)) error{fails(bad)}, dlm.FaultUpstream,
			[]time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond}},
		{"it says when it has room", []func(context.Context, func(int, dlm.Token)) error{fails(full), fine}, "", []time.Duration{0, time.Second}},
		{"room too late", []func(context.Context, func(int, dlm.Token)) error{fails(&dlm.Fault{Kind: dlm.FaultLimit, Retry: time.Minute, Err: io.EOF}), fine}, dlm.FaultBusy, []time.Duration{0}},
		{"a token was passed on", []func(context.Context, func(int, dlm.Token)) error{midway, fine}, dlm.FaultUpstream, []time.Duration{0}},
		{"the request is wrong", []func(context.Context, func(int, dlm.Token)) error{fails(dlm.Faultf(dlm.FaultRequest, "n", "no")), fine}, dlm.FaultRequest, []time.Duration{0}},
		{"it cannot do that", []func(context.Context, func(int, dlm.Token)) error{fails(dlm.Faultf(dlm.FaultUnsupported, "n", "no")), fine}, dlm.FaultUnsupported, []time.Duration{0}},
		{"it took too long", []func(context.Context, func(int, dlm.Token)) error{fails(dlm.Faultf(dlm.FaultTimeout, "", "no")), fine}, dlm.FaultTimeout, []time.Duration{0}},
		{"the gateway's key", []func(context.Context, func(int, dlm.Token)) error{fails(dlm.Faultf(dlm.FaultAuth, "", "no")), fine}, dlm.FaultUpstream, []time.Duration{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := script("g", c.steps...)
				_, err := ask(pool(t, PoolOptions{}, g))
				if dlm.FaultOf(err) != c.kind || (err == nil) != (c.kind == "") || !slices.Equal(g.calls, c.calls) {
					t.Errorf("%v after calls at %v; want %q, %v", err, g.calls, c.kind, c.calls)
				}
			})
		})
	}
}

// Without a stream nothing is passed on before the end.
func TestRetryOfWholeAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pool(t, PoolOptions{}, script("g", midway, fine))
		out, err := p.Generate(context.Background(), nil, nil)
		if err != nil || out[0].Text != "g" {
			t.Errorf("%v, %v", out, err)
		}
	})
}

func TestOtherReplicaAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := script("a", fine), script("b", fails(bad))
		p := pool(t, PoolOptions{}, a, b) // the first turn is b's
		got, err := ask(p)
		if err != nil || got != "a" || !slices.Equal(a.calls, []time.Duration{0}) || b.count() != 1 {
			t.Errorf("%q, %v; a %v, b %v", got, err, a.calls, b.calls)
		}
		if s := p.Upstreams(); s[1].Failures != 1 || s[0].Requests != 1 || s[0].Retries != 1 || s[0].InFlight != 0 || s[1].InFlight != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// When all fails, retries are a tenth of the requests and no storm.
func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := script("g", fails(bad))
		p := pool(t, PoolOptions{Breaker: BreakerOptions{Failures: 1 << 30, Least: 1 << 30}}, g)
		const n = 1000
		for range n {
			if _, err := ask(p); dlm.FaultOf(err) != dlm.FaultUpstream {
				t.Fatal(err)
			}
		}
		if retries := g.count() - n; retries < 95 || retries > 115 {
			t.Errorf("%d retries for %d requests", retries, n)
		}
	})
}

func TestBreakerOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := script("g", fails(bad), fails(bad), fails(bad), fails(bad), fails(bad), fails(bad), fine)
		p := pool(t, PoolOptions{Tries: 1}, g)
		for range 5 {
			ask(p)
		}
		is := func(state string, calls int) {
			t.Helper()
			if s := p.Upstreams()[0]; s.Breaker != state || g.count() != calls {
				t.Errorf("%s after %d calls; want %s after %d", s.Breaker, g.count(), state, calls)
			}
		}
		is("open", 5)
		if p.usable() {
			t.Error("an open breaker counts as usable")
		}
		_, err := ask(p)
		var f *dlm.Fault
		if !errors.As(err, &f) || f.Kind != dlm.FaultUpstream || f.Retry != 2*time.Second {
			t.Errorf("%v: %+v", err, f)
		}
		is("open", 5)
		time.Sleep(2 * time.Second)
		is("half-open", 5)
		ask(p) // fails: open again, for twice as long
		is("open", 6)
		time.Sleep(3 * time.Second)
		is("open", 6)
		time.Sleep(time.Second)
		if _, err := ask(p); err != nil {
			t.Error(err)
		}
		is("closed", 7)
		if s := p.Upstreams()[0]; s.Opened != 2 || s.Failures != 6 {
			t.Errorf("%+v", s)
		}
	})
}

// One try at a time decides whether it closes.
func TestHalfOpenAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := script("g", fails(bad), hangs(time.Second), fine)
		p := pool(t, PoolOptions{Tries: 1, Breaker: BreakerOptions{Failures: 1}}, g)
		ask(p)
		time.Sleep(2 * time.Second)
		done := make(chan error)
		go func() { _, err := ask(p); done <- err }()
		synctest.Wait()
		if _, err := ask(p); dlm.FaultOf(err) != dlm.FaultUpstream {
			t.Errorf("a second one beside the first: %v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := ask(p); err != nil || g.count() != 3 {
			t.Errorf("%v, %d calls", err, g.count())
		}
	})
}

func TestBreakerRatio(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b = breaker{o: BreakerOptions{Failures: 100}.withDefaults()}
		for i := range 19 {
			if b.failure(time.Now()); i%2 == 0 {
				b.success(time.Now())
			}
			if i == 11 && b.state(time.Now()) != "closed" {
				t.Error("open before the window holds enough")
			}
		}
		if b.state(time.Now()) != "open" {
			t.Error("closed though more than half fail")
		}
		// What is older than the window does not count.
		b = breaker{o: BreakerOptions{Failures: 100}.withDefaults()}
		for range 10 {
			b.failure(time.Now())
			time.Sleep(31 * time.Second)
			b.failure(time.Now())
		}
		if b.state(time.Now()) != "closed" {
			t.Error("failures of long ago opened it")
		}
	})
}

// A client that leaves says nothing of the server.
func TestClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := script("g", hangs(time.Hour))
		p := pool(t, PoolOptions{Breaker: BreakerOptions{Failures: 1}}, g)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := p.Generate(ctx, nil, nil); !errors.Is(err, context.DeadlineExceeded) || g.count() != 1 {
			t.Errorf("%v after %d calls", err, g.count())
		}
		if s := p.Upstreams()[0]; s.Breaker != "closed" || s.Failures != 0 || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestLeastInFlightAndCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := script("a", hangs(time.Minute)), script("b", hangs(time.Minute))
		p := pool(t, PoolOptions{InFlight: 2}, a, b)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if _, err := ask(p); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		if a.count() != 2 || b.count() != 2 {
			t.Errorf("%d and %d", a.count(), b.count())
		}
		_, err := ask(p)
		if dlm.FaultOf(err) != dlm.FaultBusy || !strings.Contains(err.Error(), "2 are full") {
			t.Errorf("a fifth: %v", err)
		}
		all.Wait()
	})
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		sick := errors.New("503")
		health := func(context.Context) error { mu.Lock(); defer mu.Unlock(); return sick }
		g, other := script("g", fine), script("other", fine)
		p, err := NewPool("up", []Replica{{Name: "g", Generator: g, Health: health}, {Name: "other", Generator: other}}, PoolOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go p.Run(ctx)
		synctest.Wait()
		for range 4 {
			if got, err := ask(p); got != "other" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		}
		mu.Lock()
		sick = nil
		mu.Unlock()
		time.Sleep(6 * time.Second)
		for range 4 {
			ask(p)
		}
		if g.count() != 2 {
			t.Errorf("well again, it was asked %d times of 4", g.count())
		}
	})
}

// A panic in a driver ends its request, not its place.
func TestPanicGivesBack(t *testing.T) {
	g := script("g", func(context.Context, func(int, dlm.Token)) error { panic("bug") })
	p := pool(t, PoolOptions{}, g)
	func() {
		defer func() { _ = recover() }()
		ask(p)
	}()
	if s := p.Upstreams()[0]; s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
}
