package kernel

import "unsafe"

// ahead walks the memory of the adapters that a task of few rows will need when
// its multiply with W is done: its share of the A, and the part of each B that
// belongs to its panels. Multiplies prefetch it where they read weights that are
// in the cache already.
type ahead struct {
	j           *job
	task        int
	first, last int // panels of the task
	proj, low   int // where the walk stands
	b           bool
	at, end     uintptr // what is left of the piece at hand
}

// next returns at most max bytes to prefetch; from equals to when nothing is left.
func (h *ahead) next(max int) (from, to uintptr) {
	for h.at >= h.end {
		if h.proj == len(h.j.proj) {
			return 0, 0
		}
		h.advance()
	}
	from = h.at
	h.at = min(h.end, from+uintptr(max))
	return from, h.at
}

// advance goes to the next piece: a low-rank share's A, then its B.
func (h *ahead) advance() {
	p := &h.j.proj[h.proj]
	if h.low == len(p.Low) {
		n := p.W.count()
		h.first, h.last = h.first-n, h.last-n
		h.proj, h.low = h.proj+1, 0
		return
	}
	l := &p.Low[h.low]
	var data []byte
	switch {
	case !h.b && l.A != nil && h.low%h.j.bases == h.task:
		data = l.A.data
	case h.b:
		if lo, hi := max(h.first, 0), min(h.last, p.W.count()); lo < hi {
			data = l.B.data[lo*l.B.panel : min(hi*l.B.panel, len(l.B.data))]
		}
		h.low++
	}
	h.b = !h.b
	if len(data) > 0 {
		h.at = uintptr(unsafe.Pointer(&data[0]))
		h.end = h.at + uintptr(len(data))
	}
}
