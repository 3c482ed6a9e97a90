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
			v.transposedPairs(s, t, t.lo+at, count)
			j.steps *= 2
		} else {
			v.transposedBF16(s, t, t.lo+at, count)
		}
		v.bf16.run(s, j)
	}
}

// transposedF32 fills s.w with W[n0:n0+count, k0:k0+cols] as [count][64].
func (v *simd) transposedF32(s *scratch, t *panelTTask, n0, count int) {
	if t.cols%laneCols != 0 {
		t.transposeF32(asF32(s.w), n0, count)
		return
	}
	for n := 0; n < count; n += panelCols {
		p := (n0 + n) / panelCols
		width := t.w.width(p)
		if v.f32.vecCols != laneCols {
			s.dec = decodeArgs{dst: unsafe.Add(ptr(s.w), n*panelCols*4), src: unsafe.Add(ptr(t.w.bytes(p)), t.k0*width*4),
				count: t.cols / 8, stride: width * 4, vectors: width / 8}
			transpose8Plain(&s.dec)
			continue
		}
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
		if t.w.Format.grouping() != nil {
			v.transposeGroup(s, t, dst, p)
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

// transposedPairs fills s.w with bf16(W[n0:n0+count, k0:k0+cols]) widened to f32
// [count][64], the odd row of a pair of n first; an odd count is completed.
func (v *simd) transposedPairs(s *scratch, t *panelTTask, n0, count int) {
	if t.cols%laneCols != 0 {
		t.transposeBF16(asU16(s.w2), n0, count)
		widenPanel(s, ptr(s.w), ptr(s.w2), (count+1)/2, panelCols*4, panelCols/laneCols)
		return
	}
	for n := 0; n < count; n += panelCols {
		p := (n0 + n) / panelCols
		dst := unsafe.Add(ptr(s.w), n*panelCols*4)
		if t.w.Format == FormatBF16 {
			width := t.w.width(p)
			widenPanel(s, ptr(s.w2), unsafe.Add(ptr(t.w.bytes(p)), t.k0/2*width*4), t.cols/2, width*4, width/laneCols)
			s.dec = decodeArgs{dst: dst, src: ptr(s.w2), count: t.cols / 8, stride: panelCols * 4, vectors: width / 8}
			transpose8Pairs(&s.dec)
			continue
		}
		if t.w.Format.grouping() != nil {
			v.transposeGroup(s, t, dst, p)
			continue
		}
		for k := 0; k < t.cols; k += blockK {
			b := (t.k0 + k) / blockK
			decodeF32(s, ptr(s.w2), t.w, p, b, 1)
			s.dec = decodeArgs{dst: unsafe.Add(dst, k*4), src: ptr(s.w2), table: ptr(t.w.scales(t.w.blockAt(p, b))),
				count: blockK / 8, stride: panelCols * 4, vectors: panelCols / 8}
			if t.w.Format == FormatQ4Min {
				transpose8Min(&s.dec)
			} else {
				transpose8Scale(&s.dec)
			}
		}
	}
	if count&1 != 0 { // the odd row of the last pair does not exist
		clear(asF32(s.w)[(count-1)*panelCols : count*panelCols])
	}
}
