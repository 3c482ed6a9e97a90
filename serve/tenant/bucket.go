package tenant

import "time"

// bucket is a token bucket: it holds at most rate.N, fills at that rate, and one
// request takes one. So a key that was quiet may burst, and nobody goes faster
// than the rate for long.
type bucket struct {
	left float64
	at   time.Time // of left
}

// take takes one, or says how long until there is one.
func (b *bucket) take(now time.Time, r Rate) (wait time.Duration) {
	if r.IsZero() {
		return 0
	}
	full, each := float64(r.N), float64(r.Per)/float64(r.N) // nanoseconds a piece
	if b.at.IsZero() {
		b.left, b.at = full, now
	}
	if d := now.Sub(b.at); d > 0 {
		b.left, b.at = b.left+float64(d)/each, now
	}
	b.left = min(b.left, full) // the rate may have become another
	if b.left < 1 {
		return max(time.Duration((1-b.left)*each), time.Nanosecond)
	}
	b.left--
	return 0
}

// window counts what was used of a quota since it began.
type window struct {
	from time.Time
	used int // reserved and spent
}

// begin starts the next window when this one is over.
func (w *window) begin(now time.Time, r Rate) {
	if w.from.IsZero() || now.Sub(w.from) >= r.Per || now.Before(w.from) {
		*w = window{from: now}
	}
}

// reserve takes n, or says how long until the window ends.
func (w *window) reserve(now time.Time, r Rate, n int) (wait time.Duration) {
	w.begin(now, r)
	if w.used+n > r.N {
		return max(w.from.Add(r.Per).Sub(now), time.Nanosecond)
	}
	w.used += n
	return 0
}

// settle replaces what was reserved in the window that began at from by what was
// spent. When another has begun since, the old one's bill is closed.
func (w *window) settle(from time.Time, reserved, spent int) {
	if w.from.Equal(from) {
		w.used = max(w.used+spent-reserved, 0)
	}
}
