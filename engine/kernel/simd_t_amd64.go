package kernel

import "unsafe"

// panelT is MatMulT on 64 columns k0..: the weights are decoded to panels of
// Wᵀ, some hundred rows n at a time.
func (v *simd) panelT(s *scratch, t *panelTTask) {
	n := t.hi - t.lo
	if n == 0 {
		clearUnless(t.accumulate, t.dst, t.ldd, t.a.Rows, t.cols)
		return
	}
	j := s.job(t.dst, t.ldd, t.a.Rows, t.cols)
	for at := 0; at < n; at += chunkN {
		count := min(chunkN, n-at)
		j.accumulate = t.accumulate || at > 0
		j.b, j.ldb = ptr(s.w), panelCols*4
		if t.a.Mode == F32 {
			v.transposedF32(s, t, t.lo+at, count)
			j.a, j.lda, j.steps = ptr(t.a.F[at:]), t.a.Stride*4, count
			v.f32.run(s, j)
			continue
		}
		j.a, j.lda, j.steps = ptr(t.a.B[at:]), t.a.Stride*2, (count+1)/2
		if v.bf16.widenA {
			t.transposeBF16(asU16(s.w2), t.lo+at, count)
			widenPanel(s, ptr(s.w), ptr(s.w2), j.steps, panelCols*4, panelCols/laneCols)
			j.steps *= 2
		} else {
			v.transposedBF16(s, t, t.lo+at, count)
		}
		v.bf16.run(s, j)
	}
}

// transposedF32 fills s.w with W[n0:n0+count, k0:k0+cols] as [count][64].
func (v *simd) transposedF32(s *scratch, t *panelTTask, n0, count int) {
	if v.f32.vecCols != laneCols || t.cols%laneCols != 0 {
		t.transposeF32(asF32(s.w), n0, count)
		return
	}
	for n := 0; n < count; n += panelCols {
		p := (n0 + n) / panelCols
		width := t.w.width(p)
		for k := 0; k < t.cols; k += laneCols {
			transpose32(unsafe.Add(ptr(s.w), (n*panelCols+k)*4), panelCols*4,
				unsafe.Add(ptr(t.w.bytes(p)), (t.k0+k)*width*4), width*4, width/laneCols)
		}
	}
}

// transposedBF16 fills s.w with bf16(W[n0:n0+count, k0:k0+cols]) in pairs of n.
func (v *simd) transposedBF16(s *scratch, t *panelTTask, n0, count int) {
	if t.cols%laneCols != 0 {
		t.transposeBF16(asU16(s.w), n0, count)
		return
	}
	for n := 0; n < count; n += panelCols {
		p := (n0 + n) / panelCols
		dst := unsafe.Add(ptr(s.w), n/2*panelCols*4)
		if t.w.Format == FormatBF16 {
			width := t.w.width(p)
			for k := 0; k < t.cols; k += laneCols {
				s.dec = decodeArgs{dst: unsafe.Add(dst, k*4), src: unsafe.Add(ptr(t.w.bytes(p)), (t.k0+k)/2*width*4),
					stride: width * 4, vectors: width / laneCols}
				transposePairs(&s.dec)
			}
			continue
		}
		for k := 0; k < t.cols; k += blockK {
			s.dec = decodeArgs{dst: unsafe.Add(dst, k*4), src: ptr(t.w.blockAt(p, (t.k0+k)/blockK)), table: codeTableF32(t.w.Format)}
			switch t.w.Format {
			case FormatQ4:
				transposeQ4(&s.dec)
			case FormatQ4Min:
				transposeQ4Min(&s.dec)
			default:
				transposeQ8(&s.dec)
			}
		}
	}
	if count&1 != 0 { // the last pair's second half may hold a -0 of the padding
		last := asU16(s.w)[count/2*panelCols*2:]
		for c := range panelCols {
			last[2*c+1] = 0
		}
	}
}
