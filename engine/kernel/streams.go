package kernel

import "unsafe"

// streamCount is the number of products that a set's streams function makes at once.
const streamCount = 4

// streamArgs are its arguments: c[i] [16] = a[i] · b[i] over k pairs, each b a bf16
// panel of 16 columns. Assembly reads them by offset.
type streamArgs struct {
	a, b [streamCount]unsafe.Pointer
	c    unsafe.Pointer
	k    int
}

// streams collects rows of H of low rank until there are enough to compute: a row
// is one chain of K/2 steps, of which each waits for the one before.
type streams struct {
	n    int
	low  [streamCount]*LowRank
	row  [streamCount]int // of H
	args streamArgs
}

// streamed reports whether rows of l can be computed as streams.
func (x *Exec) streamed(l *LowRank, rows int) bool {
	return x.set.streams != nil && l.A.Format == FormatBF16 && l.A.N <= laneCols && l.A.K > 0 && rows < tallStream
}

// tallStream is the number of rows of one adapter that keep a tile busy.
const tallStream = 8

// stream takes row r of l's H, and computes when there are enough.
func (x *Exec) stream(s *scratch, l *LowRank, r int) {
	q, a := &s.streams, &x.job.a
	q.low[q.n], q.row[q.n] = l, r
	q.args.a[q.n], q.args.b[q.n] = ptr(a.B[(l.Lo+r)*a.Stride:]), ptr(l.A.data)
	if q.n++; q.n == streamCount {
		x.flushStreams(s)
	}
}

// flushStreams computes the rows collected.
func (x *Exec) flushStreams(s *scratch) {
	q := &s.streams
	if q.n == 0 {
		return
	}
	for i := q.n; i < streamCount; i++ {
		q.args.a[i], q.args.b[i] = q.args.a[0], q.args.b[0]
	}
	q.args.c, q.args.k = ptr(s.edge), (q.low[0].A.K+1)/2
	x.set.streams(&q.args)
	for i, l := range q.low[:q.n] {
		x.roundHidden(l, q.row[i], q.row[i]+1, s.edge[i*laneCols:][:l.A.N])
	}
	*q = streams{}
}

// roundHidden scales rows r0..r1 of an H and rounds them.
func (x *Exec) roundHidden(l *LowRank, r0, r1 int, h32 []float32) {
	if l.Scale != 1 {
		x.Scale(h32, l.Scale)
	}
	x.RoundRows(l.H.Slice(r0, r1), h32, l.A.N)
}
