package kernel

import "unsafe"

// ahead walks the memory of the adapters that a worker will need after the multiply
// that it is at: the part of each B that belongs to its panels, then its stretch of
// the A of the multiply that follows, and then what else was said to be read next. Multiplies prefetch it where they read weights
// that are in the cache already.
type ahead struct {
	j         *job
	part, end int     // parts of the run whose B are left
	list, low int     // where the walk stands: projection or list, and share of it
	skip      int     // A to skip, those of other workers before it
	left      int     // A that are left
	at, stop  uintptr // what is left of the piece at hand
	others    []Span  // what is read after this multiply
}

// begin points the walk at a worker's parts.
func (h *ahead) begin(j *job, worker int) {
	*h = ahead{j: j}
	workers := len(j.dealt.left)
	h.part, h.end = stretch(j.bases, worker, workers)
	h.skip, h.left = stretch(j.following(), worker, workers)
	h.left -= h.skip
	if len(j.others) > worker {
		h.others = j.others[worker]
	}
}

// queueSpans is the most stretches that one tile fetches, and one.
const queueSpans = 16

// fill lists about max bytes to prefetch, and after them, without an end, memory
// that is in the cache anyway.
func (h *ahead) fill(q *[queueSpans]Span, max int, cached uintptr) {
	n := 0
	for n < queueSpans-1 && max > 0 && (h.at < h.stop || h.advance()) {
		if s := (Span{h.at, min(h.stop, h.at+uintptr(max))}); s.at < s.end {
			q[n], h.at = s, s.end
			max -= int(s.end - s.at)
			n++
		}
	}
	q[n] = Span{cached, ^uintptr(0)}
}

// advance goes to the next piece and reports whether there is one.
func (h *ahead) advance() bool {
	if h.part < h.end {
		h.advanceB()
		return true
	}
	switch {
	case h.left > 0:
		h.advanceA()
	case len(h.others) > 0:
		h.at, h.stop = h.others[0].at, h.others[0].end
		h.others = h.others[1:]
	default:
		return false
	}
	return true
}

// advanceB goes to the next share's B.
func (h *ahead) advanceB() {
	if h.list == len(h.j.proj) {
		h.part, h.list, h.low = h.part+1, 0, 0
		return
	}
	p := &h.j.proj[h.list]
	lo, hi := h.j.panelsOf(h.part, h.list)
	if h.low == len(p.Low) || lo >= hi {
		h.list, h.low = h.list+1, 0
		return
	}
	b := p.Low[h.low].B
	h.low++
	h.piece(b.data[lo*b.panel : min(hi*b.panel, len(b.data))])
}

// advanceA goes to the next A of the multiply that follows.
func (h *ahead) advanceA() {
	if low := h.j.next[h.list]; h.low < len(low) {
		l := &low[h.low]
		h.low++
		if l.A == nil {
			return
		}
		if h.skip > 0 {
			h.skip--
			return
		}
		h.left--
		h.piece(l.A.data)
		return
	}
	h.list, h.low = h.list+1, 0
}

func (h *ahead) piece(data []byte) {
	if len(data) > 0 {
		h.at = uintptr(unsafe.Pointer(&data[0]))
		h.stop = h.at + uintptr(len(data))
	}
}

// following is the number of A of the multiply that follows.
func (j *job) following() (n int) {
	for _, low := range j.next {
		for i := range low {
			if low[i].A != nil {
				n++
			}
		}
	}
	return n
}

// panelsOf is the panels of a projection in one part of a run.
func (j *job) panelsOf(part, projection int) (lo, hi int) {
	first, last := j.basePanels(part)
	if j.gated {
		return first, min(last, j.proj[projection].W.count())
	}
	for i := range projection {
		n := j.proj[i].W.count()
		first, last = first-n, last-n
	}
	return max(first, 0), min(last, j.proj[projection].W.count())
}
