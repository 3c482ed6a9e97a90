package kernel

import "unsafe"

// attention's arguments of assembly, in a worker's scratch memory.
type attendArgs struct {
	tile    tileArgs
	softmax softmaxArgs
	exp     rowArgs
	scale   ropeArgs
	dec     decodeArgs
	padded  [16]float32
}

// attendBF16 is Attend with VDPBF16PS. It hands the tiles their arguments itself:
// with one query a head, decoding spent more time on calls that check and copy
// descriptions of matrices than on what they multiply.
func attendBF16(t *Attention) {
	s, slot := borrowScratch()
	a := &s.attend
	n, d, last := t.Q.Rows, t.Q.Cols, t.last()
	f, m, l, sum := t.F[:n], t.M[:n], t.L[:n], t.Sum[:n]
	fill(m, negInf)
	for b := 0; b*blockCols < last; b++ {
		seen := min(blockCols, last-b*blockCols)
		a.scores(t, b, (seen+laneCols-1)/laneCols)
		copy(f, m)
		a.softmax = softmaxArgs{s: ptr(t.Scores), lds: blockCols * 4, p: ptr(t.Weights.B), ldp: t.Weights.Stride * 2,
			rows: n, seen: t.Seen - b*blockCols, more: t.More, m: ptr(m), sum: ptr(sum), scale: t.Scale}
		softmax64(&a.softmax)
		if b == 0 {
			copy(l, sum)
		} else if a.rescale(f, m, l, sum) {
			a.scale = ropeArgs{dst: ptr(t.Acc), src: ptr(f), heads: n, vectors: d / laneCols}
			scaleRowsF32x16(&a.scale)
		}
		a.mix(t, b, (seen+1)/2)
	}
	for i, v := range l {
		f[i] = 1 / v
	}
	a.scale = ropeArgs{dst: ptr(t.Acc), src: ptr(f), heads: n, vectors: d / laneCols}
	scaleRowsF32x16(&a.scale)
	a.dec = decodeArgs{dst: ptr(t.Out.B), src: ptr(t.Acc), stride: d * 4, count: t.Out.Stride * 2, vectors: d / laneCols, bias: int32(n)}
	roundRows16(&a.dec)
	returnScratch(s, slot)
}

// scores multiplies the queries by some vectors of block b of the keys.
func (a *attendArgs) scores(t *Attention, b, vectors int) {
	d := t.Q.Cols
	a.tile = tileArgs{ldc: blockCols * 4, lda: t.Q.Stride * 2, b: ptr(t.Keys[b].B), ldb: blockCols * 4, zero: 1}
	a.tiles(t.Q.Rows, vectors, d/2, ptr(t.Scores), ptr(t.Q.B))
}

// mix adds the values of some pairs of positions, times their weights.
func (a *attendArgs) mix(t *Attention, b, pairs int) {
	d := t.Q.Cols
	for c := 0; c < d; c += panelCols {
		a.tile = tileArgs{ldc: d * 4, lda: t.Weights.Stride * 2, b: unsafe.Add(ptr(t.Values[b].B), c*4), ldb: d * 4}
		if b == 0 {
			a.tile.zero = 1
		}
		a.tiles(t.Q.Rows, min(panelCols, d-c)/laneCols, pairs, unsafe.Add(ptr(t.Acc), c*4), ptr(t.Weights.B))
	}
}

// tiles runs a column of tiles over all rows.
func (a *attendArgs) tiles(rows, vectors, pairs int, c, left unsafe.Pointer) {
	tiles := &tilesBF16.plain[vectors]
	for r := 0; r < rows; {
		mr := min(rows-r, len(tiles)-1)
		for tiles[mr] == nil {
			mr--
		}
		a.tile.a, a.tile.c, a.tile.k = unsafe.Add(left, r*a.tile.lda), unsafe.Add(c, r*a.tile.ldc), pairs
		tiles[mr](&a.tile)
		r += mr
	}
}

// rescale folds a block's maxima and sums into those before it, which f holds; it
// leaves in f what the result so far is multiplied by and reports whether that
// changes anything.
func (a *attendArgs) rescale(f, m, l, sum []float32) bool {
	same := true
	for i := range f {
		f[i] -= m[i]
		same = same && f[i] == 0
	}
	if same { // exp(0) is exactly 1
		for i := range l {
			l[i] += sum[i]
		}
		return false
	}
	for i := 0; i < len(f); i += 16 {
		n := copy(a.padded[:], f[i:])
		a.exp = rowArgs{dst: unsafe.Pointer(&a.padded), p0: unsafe.Pointer(&a.padded), n: 16}
		rowExpF32x16(&a.exp)
		copy(f[i:], a.padded[:n])
	}
	for i, v := range f {
		l[i] = float32(l[i]*v) + sum[i]
	}
	return true
}
