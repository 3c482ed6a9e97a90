package route

import "time"

// BreakerOptions say when a replica is left alone. Zero fields get the defaults
// in brackets.
type BreakerOptions struct {
	Failures int           // in a row that open it [5]
	Ratio    float64       // of tries in the window that open it [0.5]
	Least    int           // tries in the window before the ratio counts [20]
	Window   time.Duration // [30 s]
	Open     time.Duration // how long it stays open at first; doubled each time that the probe fails [2 s]
	Longest  time.Duration // [1 min]
}

func (o BreakerOptions) withDefaults() BreakerOptions {
	set(&o.Failures, 5)
	set(&o.Ratio, 0.5)
	set(&o.Least, 20)
	set(&o.Window, 30*time.Second)
	set(&o.Open, 2*time.Second)
	set(&o.Longest, time.Minute)
	return o
}

// set gives a zero field its default.
func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// buckets is how many parts a breaker's window has.
const buckets = 10

// breaker is a circuit breaker: closed while tries succeed; open, and nothing is
// tried, after too many failures; then half-open: one try decides. Its owner locks.
type breaker struct {
	o      BreakerOptions
	inARow int
	parts  [buckets]struct {
		epoch     int64
		ok, wrong int
	}
	until   time.Time     // open until then; zero = closed
	pause   time.Duration // how long it was opened for last
	probing bool          // half-open, and its one try is under way
	opened  uint64
}

// state is "closed", "open" or "half-open".
func (b *breaker) state(now time.Time) string {
	switch {
	case b.until.IsZero():
		return "closed"
	case now.Before(b.until):
		return "open"
	}
	return "half-open"
}

// allows says whether a try may begin.
func (b *breaker) allows(now time.Time) bool {
	switch b.state(now) {
	case "closed":
		return true
	case "half-open":
		return !b.probing
	}
	return false
}

// begin is called with each try.
func (b *breaker) begin(now time.Time) {
	if b.state(now) == "half-open" {
		b.probing = true
	}
}

// success closes it.
func (b *breaker) success(now time.Time) {
	if !b.until.IsZero() {
		if !b.probing {
			return // a try from before it opened says nothing of now
		}
		*b = breaker{o: b.o, opened: b.opened}
	}
	b.inARow = 0
	b.part(now).ok++
}

// failure counts one, and opens it when there were too many.
func (b *breaker) failure(now time.Time) {
	if !b.until.IsZero() {
		if b.probing {
			b.probing = false
			b.open(now, min(2*b.pause, b.o.Longest))
		}
		return
	}
	b.inARow++
	b.part(now).wrong++
	ok, wrong := 0, 0
	oldest := b.epoch(now) - buckets
	for _, p := range b.parts {
		if p.epoch > oldest {
			ok, wrong = ok+p.ok, wrong+p.wrong
		}
	}
	if b.inARow >= b.o.Failures || ok+wrong >= b.o.Least && float64(wrong) >= b.o.Ratio*float64(ok+wrong) {
		b.open(now, b.o.Open)
	}
}

// neither ends a try that says nothing of the replica: its client left.
func (b *breaker) neither() { b.probing = false }

func (b *breaker) open(now time.Time, pause time.Duration) {
	b.until, b.pause = now.Add(pause), pause
	b.opened++
}

func (b *breaker) epoch(now time.Time) int64 {
	return now.UnixNano() / max(1, int64(b.o.Window/buckets))
}

func (b *breaker) part(now time.Time) *struct {
	epoch     int64
	ok, wrong int
} {
	e := b.epoch(now)
	p := &b.parts[e%buckets]
	if p.epoch != e {
		p.epoch, p.ok, p.wrong = e, 0, 0
	}
	return p
}
