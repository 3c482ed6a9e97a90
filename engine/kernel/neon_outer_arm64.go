package kernel

// neonOuterAccum is OuterAccum on a few rows and columns. Columns beyond the
// last whole vector, and tiles in which a result was flushed, are the portable
// set's.
func neonOuterAccum(t *outerArgs) {
	const rowsOfB = 256 // stay in the second-level cache from one tile to the next
	for t0 := 0; t0 < t.b.Rows; t0 += rowsOfB {
		rows := min(rowsOfB, t.b.Rows-t0)
		for c := 0; c < t.b.Cols; {
			nv, cols := 3, 12
			switch left := t.b.Cols - c; {
			case left < 4:
				nv, cols = 0, left
			case left < 12:
				nv, cols = 1, 4
			}
			for r := 0; r < t.r; {
				mr := 8
				for mr > t.r-r {
					mr /= 2
				}
				p := t.piece(t0, rows, r, mr, c, cols)
				if nv == 0 || !p.neon(nv) {
					portableOuter(&p)
				}
				r += mr
			}
			c += cols
		}
	}
}

// piece is the part of t with rows t0.. of both sides, rows r.. and columns c..
// of the destination.
func (t *outerArgs) piece(t0, rows, r, mr, c, cols int) outerArgs {
	p := *t
	p.dst, p.a, p.r = t.dst[r*t.ldd+c:], t.a[t0*t.lda+r:], mr
	p.b.Rows, p.b.Cols = rows, cols
	if at := t0*t.b.Stride + c; t.b.Mode == F32 {
		p.b.F = t.b.F[at:]
	} else {
		p.b.B = t.b.B[at:]
	}
	return p
}

// neon runs the tile of nv vectors; false if it has written nothing because a
// result was flushed.
func (t *outerArgs) neon(nv int) bool {
	args := neonArgs{c: ptr(t.dst), ldc: t.ldd * 4, a: ptr(t.a), lda: t.lda * 4, b: ptr(t.b.B), ldb: t.b.Stride * 2, k: t.b.Rows}
	if t.b.Mode == F32 {
		args.b, args.ldb = ptr(t.b.F), t.b.Stride*4
	}
	return neonOuter[t.b.Mode][nv][t.r](hideNeon(&args)) == 0
}
