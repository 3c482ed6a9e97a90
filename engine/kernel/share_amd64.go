package kernel

// shareRun adds a low-rank share to the panels lo..hi of few rows, whole panels
// of 64 columns in one call each for at most six rows; it returns how many
// panels are done. t.dst begins at column lo*64.
func shareRun(s *scratch, t *panelTask, lo, hi int) (done int) {
	whole := min(hi, t.w.N/panelCols) - lo
	if t.w.Format != FormatBF16 || t.w.K == 0 || whole <= 0 {
		return 0
	}
	tiles := (t.a.Rows + len(shareTiles) - 2) / (len(shareTiles) - 1)
	for i, r := 0, 0; i < tiles; i++ {
		mr := (t.a.Rows - r + tiles - i - 1) / (tiles - i)
		s.args = tileArgs{c: ptr(t.dst[r*t.ldd:]), ldc: t.ldd * 4, a: ptr(t.a.B[r*t.a.Stride:]), lda: t.a.Stride * 2,
			b: ptr(t.w.bytes(lo)), k: (t.w.K + 1) / 2, loops: whole}
		shareTiles[mr](&s.args)
		r += mr
	}
	return whole
}
