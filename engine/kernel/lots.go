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

// take returns a part for the worker. There must be one: callers take as many as
// were dealt.
func (l *lots) take(worker int) int {
	for own := true; ; own = false {
		for {
			v := l.left[worker].Load()
			first, end := v>>32, v&(1<<32-1)
			if first == end {
				break
			}
			part, rest := first, (first+1)<<32|end
			if !own {
				part, rest = end-1, first<<32|(end-1)
			}
			if l.left[worker].CompareAndSwap(v, rest) {
				return int(part)
			}
		}
		worker = (worker + 1) % len(l.left)
	}
}
