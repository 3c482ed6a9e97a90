package kernel

import "unsafe"

// streamCount is the number of products that a set's streams functions make at once.
const streamCount = 4

// streamArgs are their arguments: c[i] [rows, 16] = bf16(scale[i] * (a[i] · b[i]))
// over k pairs, each a one row or two that are stride bytes apart, each b a bf16
// panel of 16 columns. Assembly reads them by offset.
type streamArgs struct {
	a, b   [streamCount]unsafe.Pointer
	c      unsafe.Pointer // bf16
	k      int
	stride int
	scale  [streamCount]float32
}

// streams collects rows of H of low rank until there are enough to compute: a row
// is one chain of K/2 steps, of which each waits for the one before.
type streams struct {
	n    int
	low  [streamCount]*LowRank
	row  [streamCount]int // of H: the first
	rows [streamCount]int // 1 or 2
	args streamArgs
}

// streamed reports whether rows of l can be computed as streams.
func (x *Exec) streamed(l *LowRank, rows int) bool {
	return x.set.streams[0] != nil && l.A.Format == FormatBF16 && l.A.N <= laneCols && l.A.K > 0 && rows < tallStream
}

// tallStream is the number of rows of one adapter that keep a tile busy.
const tallStream = 8

// stream takes rows r0..r1 of l's H, two by two, and computes when there are enough.
func (x *Exec) stream(s *scratch, l *LowRank, r0, r1 int) {
	q := &s.streams
	for r := r0; r < r1; r += 2 {
		q.low[q.n], q.row[q.n], q.rows[q.n] = l, r, min(2, r1-r)
		if q.n++; q.n == streamCount {
			x.flushStreams(s)
		}
	}
}

// flushStreams computes the rows collected.
func (x *Exec) flushStreams(s *scratch) {
	q, a := &s.streams, &x.job.a
	if q.n == 0 {
		return
	}
	wide := 1 // rows of each product
	for i := range q.n {
		wide = max(wide, q.rows[i])
	}
	var skip [streamCount]int // rows before the one that is wanted
	for i := range streamCount {
		l, row := q.low[0], q.row[0]
		if i < q.n {
			l, row = q.low[i], q.row[i]
		}
		at := l.Lo + row
		if at+wide > a.Rows { // a single row in company of pairs, the operand's last
			skip[i] = 1
		}
		q.args.a[i], q.args.b[i], q.args.scale[i] = ptr(a.B[(at-skip[i])*a.Stride:]), ptr(l.A.data), l.Scale
	}
	out := asU16(s.w2)
	q.args.c, q.args.k, q.args.stride = ptr(out), (a.Cols+1)/2, a.Stride*2
	x.set.streams[wide-1](&q.args)
	for i, l := range q.low[:q.n] {
		for r := range q.rows[i] {
			copy(l.H.B[(q.row[i]+r)*l.H.Stride:][:l.A.N], out[(i*wide+skip[i]+r)*laneCols:])
		}
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
