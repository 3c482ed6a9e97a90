package kernel

import "sync/atomic"

// lots deals the parts of a run out to workers: each has a stretch of its own, from
// the same place in every run, so that it can fetch the memory of its parts ahead
// of time into its own cache. A worker that has done its own takes the last of
// another's.
type lots struct {
	left []lot // by worker
}

// lot is a stretch of parts: the first (32 bits) and the end. Padded: workers must
// not share lines.
type lot struct {
	atomic.Uint64
	_ [vectorBytes]byte
}

func newLots(workers int) lots { return lots{left: make([]lot, workers)} }

// stretch is the part of n things that belongs to a worker.
func stretch(n, worker, workers int) (first, end int) {
	return n * worker / workers, n * (worker + 1) / workers
}

// deal hands out that many parts.
func (l *lots) deal(parts int) {
	for w := range l.left {
		first, end := stretch(parts, w, len(l.left))
		l.left[w].Store(uint64(first)<<32 | uint64(end))
	}
}

// own returns the worker's next part, if one of its own is left.
func (l *lots) own(worker int) (part int, ok bool) {
	for {
		v := l.left[worker].Load()
		first, end := v>>32, v&(1<<32-1)
		if first == end {
			return 0, false
		}
		if l.left[worker].CompareAndSwap(v, (first+1)<<32|end) {
			return int(first), true
		}
	}
}

// others returns a part of another worker, the last that is left, if there is one.
func (l *lots) others(worker int) (part int, ok bool) {
	for i := 1; i < len(l.left); i++ {
		of := &l.left[(worker+i)%len(l.left)]
		for {
			v := of.Load()
			first, end := v>>32, v&(1<<32-1)
			if first == end {
				break
			}
			if of.CompareAndSwap(v, first<<32|(end-1)) {
				return int(end - 1), true
			}
		}
	}
	return 0, false
}
