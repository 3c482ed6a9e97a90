package kernel

import "unsafe"

// neonPanel is MatMul on one panel: weights are decoded to f32 in scratch
// memory, some hundred k at a time. Formats without a decoder of their own are
// the portable set's.
func neonPanel(s *scratch, t *panelTask) {
	if t.w.K == 0 {
		clearUnless(t.accumulate, t.dst, t.ldd, t.a.Rows, t.cols)
		return
	}
	j := &s.tiles
	*j = neonJob{c: t.dst, ldc: t.ldd, rows: t.a.Rows, cols: t.cols, a: t.a}
	switch t.w.Format {
	case FormatF32:
		neonPlain(s, t)
	case FormatBF16:
		neonPanelBF16(s, t)
	case FormatQ4, FormatQ4Min, FormatQ8:
		neonQuantised(s, t)
	default:
		portablePanel(s, t)
	}
	*j = neonJob{}
}

func neonPlain(s *scratch, t *panelTask) {
	j := &s.tiles
	j.tiles, j.ldb = &neonPlainF32, t.w.width(t.panel)*4
	b := ptr(t.w.bytes(t.panel))
	for k := 0; k < t.w.K; k += chunkK {
		j.k0, j.steps, j.b = k, min(chunkK, t.w.K-k), unsafe.Add(b, k*j.ldb)
		j.accumulate = t.accumulate || k > 0
		j.run(s)
	}
}

func neonPanelBF16(s *scratch, t *panelTask) {
	j := &s.tiles
	width := t.w.width(t.panel)
	b := ptr(t.w.bytes(t.panel))
	for k := 0; k < t.w.K; k += chunkK {
		pairs := (min(chunkK, t.w.K-k) + 1) / 2
		j.widened(s, unsafe.Add(b, k/2*width*4), pairs, width*4, width/laneCols)
		j.k0 = k
		j.accumulate = t.accumulate || k > 0
		j.run(s)
	}
}

// widened points j at pairs of k of bf16, widened into s.w.
func (j *neonJob) widened(s *scratch, src unsafe.Pointer, pairs, stride, vectors int) {
	s.unpack = unpackArgs{dst: ptr(s.w), src: src, count: pairs, stride: stride, vectors: vectors}
	neonWiden(&s.unpack)
	j.tiles, j.b, j.ldb, j.steps = &neonPlainBF16, ptr(s.w), panelCols*4, 2*pairs
}

func neonQuantised(s *scratch, t *panelTask) {
	j := &s.tiles
	blocks := t.w.K / blockK
	j.tiles, j.b, j.ldb, j.lds = &neonScale, ptr(s.w), panelCols*4, t.w.block
	if t.w.Format == FormatQ4Min {
		j.tiles, j.min, j.ldsums = &neonScaleMin, true, blocks
	}
	for b := 0; b < blocks; b += chunkK / blockK {
		j.blocks = min(chunkK/blockK, blocks-b)
		neonDecode(s, ptr(s.w), t.w, t.panel, b, j.blocks)
		j.k0, j.scale = b*blockK, ptr(t.w.scales(t.w.blockAt(t.panel, b)))
		if j.min {
			j.sums = t.sums[b:]
		}
		j.accumulate = t.accumulate || b > 0
		j.run(s)
	}
}

// neonDecode unpacks blocks of a quantised panel to f32 codes in dst.
func neonDecode(s *scratch, dst unsafe.Pointer, w *Panels, panel, block, count int) {
	s.unpack = unpackArgs{dst: dst, src: ptr(w.blockAt(panel, block)), count: count, stride: w.block}
	switch w.Format {
	case FormatQ8:
		neonDecodeQ8(&s.unpack)
		return
	case FormatQ4:
		s.unpack.minus = 8
	}
	neonDecodeQ4(&s.unpack)
}

// neonBlock is MulBlock. It knows no worker, so it borrows scratch memory.
func neonBlock(dst []float32, ldd int, a Operand, b Block, accumulate bool) {
	if b.K == 0 {
		clearUnless(accumulate, dst, ldd, a.Rows, b.wanted())
		return
	}
	s, slot := borrowScratch()
	defer returnScratch(s, slot)
	j := &s.tiles
	for c := 0; c < b.wanted(); c += panelCols {
		cols := min(panelCols, b.wanted()-c)
		*j = neonJob{c: dst[c:], ldc: ldd, rows: a.Rows, cols: cols, a: a}
		for k := 0; k < b.K; k += chunkK {
			count := min(chunkK, b.K-k)
			j.k0, j.accumulate = k, accumulate || k > 0
			if a.Mode == F32 {
				j.tiles, j.b, j.ldb, j.steps = &neonPlainF32, ptr(b.F[k*b.N+c:]), b.N*4, count
			} else {
				j.widened(s, ptr(b.B[k*b.N+2*c:]), count/2, b.N*4, cols/laneCols)
			}
			j.run(s)
		}
	}
	*j = neonJob{}
}
