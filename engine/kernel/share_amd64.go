package kernel

// shareRun adds a low-rank share to rows r0..r1 of count whole panels of bf16 from
// panel lo on, in one call each for at most six rows. It sets the arguments that
// share tiles read and no others: there are thousands of shares in a step.
func shareRun(s *scratch, p *Projection, l *LowRank, r0, r1, lo, count int) {
	rows := r1 - r0
	tiles := (rows + len(shareTiles) - 2) / (len(shareTiles) - 1)
	args, h := &s.args, &l.H
	args.ldc, args.lda, args.b, args.k, args.loops = p.Ldd*4, h.Stride*2, ptr(l.B.bytes(lo)), (l.B.K+1)/2, count
	for i, r := 0, r0; i < tiles; i++ {
		mr := (r1 - r + tiles - i - 1) / (tiles - i)
		args.c, args.a = ptr(p.Dst[r*p.Ldd+lo*panelCols:]), ptr(h.B[(r-l.Lo)*h.Stride:])
		shareTiles[mr](args)
		r += mr
	}
}
