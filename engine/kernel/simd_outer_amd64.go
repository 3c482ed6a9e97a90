package kernel

// outerAccum is OuterAccum on a few rows and columns. Columns beyond the last
// whole vector are left to the portable function.
func (v *simd) outerAccum(t *outerArgs) {
	const rowsOfB = 256 // stay in the first-level cache from one tile to the next
	size := 2
	if t.b.Mode == F32 {
		size = 4
	}
	var args tileArgs
	whole := t.b.Cols &^ (laneCols - 1)
	for t0 := 0; t0 < t.b.Rows; t0 += rowsOfB {
		args.lda, args.ldb, args.ldc = t.lda*4, t.b.Stride*size, t.ldd*4
		for c := 0; c < whole; {
			nv := 3
			for c+nv*v.f32.vecCols > whole || v.outer[t.b.Mode][nv][1] == nil {
				nv--
			}
			for r := 0; r < t.r; {
				mr := min(8, t.r-r)
				for v.outer[t.b.Mode][nv][mr] == nil {
					mr--
				}
				args.c, args.a = ptr(t.dst[r*t.ldd+c:]), ptr(t.a[t0*t.lda+r:])
				if t.b.Mode == F32 {
					args.b = ptr(t.b.F[t0*t.b.Stride+c:])
				} else {
					args.b = ptr(t.b.B[t0*t.b.Stride+c:])
				}
				args.k = min(rowsOfB, t.b.Rows-t0)
				v.outer[t.b.Mode][nv][mr](hideTile(&args))
				r += mr
			}
			c += nv * v.f32.vecCols
		}
	}
	if whole < t.b.Cols {
		rest := *t
		rest.dst = t.dst[whole:]
		rest.b.Cols -= whole
		if t.b.Mode == F32 {
			rest.b.F = t.b.F[whole:]
		} else {
			rest.b.B = t.b.B[whole:]
		}
		portableOuter(&rest)
	}
}
