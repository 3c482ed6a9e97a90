package kernel

import "unsafe"

// neonJob is a run of tiles: rows x cols of c, over one chunk of k.
type neonJob struct {
	tiles      *[7][17]func(*neonArgs) uint64 // by rows, by vectors of four columns
	c          []float32
	ldc        int // values
	rows, cols int
	a          Operand // its columns k0.. are multiplied
	k0         int
	b          unsafe.Pointer // f32, whole vectors of 16 columns
	ldb        int            // bytes from k to k
	steps      int            // values of k of the plain tiles
	blocks     int            // of the quantised tiles; 0: plain
	scale      unsafe.Pointer // as in neonArgs
	lds        int
	sums       []float32
	ldsums     int // values
	min        bool
	accumulate bool
}

// run cuts the job into tiles.
func (j *neonJob) run(s *scratch) {
	for r := 0; r < j.rows; {
		mr := neonHeight(j.rows - r)
		for c := 0; c < j.cols; {
			nv := neonWidth(mr, j.cols-c)
			j.tile(s, r, mr, c, nv)
			c += 4 * nv
		}
		r += mr
	}
}

// neonHeight is the tallest tile for the rows that are left; two nearly equal
// tiles replace a full and a low one.
func neonHeight(left int) int {
	const tallest = 6
	if left > tallest && left < 2*tallest {
		return (left + 1) / 2
	}
	return min(left, tallest)
}

// neonWidth is the widest tile of mr rows, in vectors of four columns: low tiles
// are wide, so that they have chains enough to hide a multiply-add's latency.
func neonWidth(mr, cols int) int {
	whole := (cols + laneCols - 1) &^ (laneCols - 1)
	switch {
	case mr == 1 && whole >= 64:
		return 16
	case (mr == 2 || mr == 3) && whole >= 32:
		return 8
	}
	return 4
}

// tile runs one tile of mr rows from row r, 4*nv columns from c. Columns that end
// within it go through s.edge. Where a result was flushed the tile has written
// nothing, and Go does it again.
func (j *neonJob) tile(s *scratch, r, mr, c, nv int) {
	args := &s.neon
	cols := min(j.cols-c, 4*nv)
	dst, ldc := j.c[r*j.ldc+c:], j.ldc
	*args = neonArgs{c: ptr(dst), b: unsafe.Add(j.b, c*4), ldb: j.ldb, k: j.steps, work: ptr(s.archScratch.work[:])}
	if edge := cols < 4*nv; edge {
		ldc = panelCols
		if j.accumulate {
			copyEdge(s.edge, ldc, dst, j.ldc, mr, cols)
		}
		args.c = ptr(s.edge)
	}
	args.ldc = ldc * 4
	if j.a.Mode == F32 {
		args.a, args.lda = ptr(j.a.F[r*j.a.Stride+j.k0:]), j.a.Stride*4
	} else {
		args.a, args.lda = ptr(j.a.B[r*j.a.Stride+j.k0:]), j.a.Stride*2
	}
	if !j.accumulate {
		args.zero = 1
	}
	if j.blocks > 0 {
		args.k, args.lds, args.ldsums, args.scale = j.blocks, j.lds, j.ldsums*4, unsafe.Add(j.scale, c*2)
		if j.min {
			args.sums = ptr(j.sums[r*j.ldsums:])
		}
	}
	if j.tiles[mr][nv](args) != 0 {
		j.again(r, mr, c, cols)
		return
	}
	if cols < 4*nv {
		copyEdge(dst, j.ldc, s.edge, ldc, mr, cols)
	}
}

func copyEdge(dst []float32, ldd int, src []float32, lds, rows, cols int) {
	for r := range rows {
		copy(dst[r*ldd:r*ldd+cols], src[r*lds:])
	}
}

// again computes a tile in Go, with the portable set's operations.
func (j *neonJob) again(r, mr, c, cols int) {
	for i := r; i < r+mr; i++ {
		for n := c; n < c+cols; n++ {
			dst := &j.c[i*j.ldc+n]
			var acc float32
			if j.accumulate {
				acc = *dst
			}
			if j.blocks == 0 {
				*dst = j.chain(acc, i, n, 0, j.steps)
				continue
			}
			for b := range j.blocks {
				scales := u16At(unsafe.Add(j.scale, b*j.lds), 2*panelCols)
				acc = fma32(F32FromF16(scales[n]), j.chain(0, i, n, b*blockK, blockK), acc)
				if j.min {
					acc = fma32(F32FromF16(scales[panelCols+n]), j.sums[i*j.ldsums+b], acc)
				}
			}
			*dst = acc
		}
	}
}

// chain continues acc with count values of k from k on, of row i and column n.
func (j *neonJob) chain(acc float32, i, n, k, count int) float32 {
	b := func(k int) float32 { return *(*float32)(unsafe.Add(j.b, k*j.ldb+n*4)) }
	at := i*j.a.Stride + j.k0
	if j.a.Mode == F32 {
		for ; count > 0; count-- {
			acc = fma32(j.a.F[at+k], b(k), acc)
			k++
		}
		return acc
	}
	for ; count > 0; count -= 2 { // the odd element of a pair first
		acc = fma32(F32FromBF16(j.a.B[at+k+1]), b(k+1), acc)
		acc = fma32(F32FromBF16(j.a.B[at+k]), b(k), acc)
		k += 2
	}
	return acc
}
