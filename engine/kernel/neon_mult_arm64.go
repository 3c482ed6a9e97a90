package kernel

import "unsafe"

// neonPanelT is MatMulT on 64 columns k0..: the weights are decoded to panels of
// Wᵀ, some hundred rows n at a time.
func neonPanelT(s *scratch, t *panelTTask) {
	n := t.hi - t.lo
	switch t.w.Format {
	case FormatF32, FormatBF16, FormatQ4, FormatQ4Min, FormatQ8:
	default:
		portablePanelT(s, t)
		return
	}
	if n == 0 {
		clearUnless(t.accumulate, t.dst, t.ldd, t.a.Rows, t.cols)
		return
	}
	j := &s.tiles
	*j = neonJob{c: t.dst, ldc: t.ldd, rows: t.a.Rows, cols: t.cols, a: t.a, b: ptr(s.w), ldb: panelCols * 4}
	for at := 0; at < n; at += chunkN {
		count := min(chunkN, n-at)
		j.k0, j.accumulate = at, t.accumulate || at > 0
		if t.a.Mode == F32 {
			j.tiles, j.steps = &neonPlainF32, count
		} else {
			j.tiles, j.steps = &neonPlainBF16, (count+1)&^1
		}
		neonTransposed(s, t, t.lo+at, count)
		j.run(s)
	}
	*j = neonJob{}
}

// neonTransposed fills s.w with W[n0:n0+count, k0:k0+cols], rounded to bf16 in
// bf16 mode, as f32 [count][64]; there an odd count is completed with zeros.
func neonTransposed(s *scratch, t *panelTTask, n0, count int) {
	switch {
	case t.cols%laneCols == 0:
		for n := 0; n < count; n += panelCols {
			neonTransposedPanel(s, t, (n0+n)/panelCols, unsafe.Add(ptr(s.w), n*panelCols*4))
		}
	case t.a.Mode == F32:
		t.transposeF32(asF32(s.w), n0, count)
	default:
		t.transposeBF16(asU16(s.w2), n0, count)
		s.unpack = unpackArgs{dst: ptr(s.w), src: ptr(s.w2), count: (count + 1) / 2, stride: panelCols * 4, vectors: panelCols / laneCols}
		neonWiden(&s.unpack)
	}
	if t.a.Mode == BF16 && count&1 != 0 {
		clear(asF32(s.w)[count*panelCols : (count+1)*panelCols])
	}
}

// neonTransposedPanel does one panel of W.
func neonTransposedPanel(s *scratch, t *panelTTask, p int, dst unsafe.Pointer) {
	u, width := &s.unpack, t.w.width(p)
	switch t.w.Format {
	case FormatF32:
		*u = unpackArgs{dst: dst, src: unsafe.Add(ptr(t.w.bytes(p)), t.k0*width*4), count: t.cols / 4, stride: width * 4, vectors: width / 4}
		neonTransposePlain(u)
	case FormatBF16:
		*u = unpackArgs{dst: ptr(s.w2), src: unsafe.Add(ptr(t.w.bytes(p)), t.k0/2*width*4), count: t.cols / 2, stride: width * 4, vectors: width / laneCols}
		neonWiden(u)
		*u = unpackArgs{dst: dst, src: ptr(s.w2), count: t.cols / 4, stride: panelCols * 4, vectors: width / 4}
		neonTransposePlain(u)
	default:
		for k := 0; k < t.cols; k += blockK {
			b := (t.k0 + k) / blockK
			neonDecode(s, ptr(s.w2), t.w, p, b, 1)
			*u = unpackArgs{dst: unsafe.Add(dst, k*4), src: ptr(s.w2), scales: ptr(t.w.scales(t.w.blockAt(p, b))),
				count: blockK / 4, stride: panelCols * 4, vectors: panelCols / 4}
			if t.w.Format == FormatQ4Min {
				neonTransposeMin(u)
			} else {
				neonTransposeScale(u)
			}
		}
	}
}
