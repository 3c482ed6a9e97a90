package kernel

// This file is the written reference of the multiplies: what each kernel set's
// bits are compared with. It favours plainness over speed.

// lanes64 is one value for each column of a panel.
type lanes64 [panelCols]float32

func portablePanel(_ *scratch, t *panelTask) {
	for r := range t.a.Rows {
		dst := t.dst[r*t.ldd : r*t.ldd+t.cols]
		var acc lanes64
		if t.accumulate {
			copy(acc[:], dst)
		}
		switch {
		case t.w.Format == FormatF32:
			mulF32(&acc, t.a.F[r*t.a.Stride:], asF32(t.w.bytes(t.panel)), t.w.K, t.w.width(t.panel), t.cols)
		case t.w.Format == FormatBF16:
			mulPairs(&acc, t.a.B[r*t.a.Stride:], asU16(t.w.bytes(t.panel)), t.w.K, t.w.width(t.panel), t.cols)
		default:
			t.mulBlocks(&acc, r)
		}
		copy(dst, acc[:])
	}
}

// mulF32 continues acc with x·w, w laid out [k][width].
func mulF32(acc *lanes64, x, w []float32, k, width, cols int) {
	for i := range k {
		for c := range cols {
			acc[c] = fma32(x[i], w[i*width+c], acc[c])
		}
	}
}

// mulPairs continues acc with x·w, w laid out [k/2][width][2]: the odd element
// of a pair first, as VDPBF16PS does.
func mulPairs(acc *lanes64, x, w []uint16, k, width, cols int) {
	for i := 0; i < k; i += 2 {
		x0, x1 := F32FromBF16(x[i]), F32FromBF16(x[i+1])
		pair := w[i*width : i*width+2*cols]
		for c := range cols {
			a := fmaBF16(x1, F32FromBF16(pair[2*c+1]), acc[c])
			acc[c] = fmaBF16(x0, F32FromBF16(pair[2*c]), a)
		}
	}
}

// mulBlocks continues acc with row r of a times a quantised panel: a chain over
// the integer codes of each block, then the block's scale and minimum.
func (t *panelTask) mulBlocks(acc *lanes64, r int) {
	var codes [blockK * panelCols]uint16 // bf16 pairs, as in a bf16 panel
	blocks := t.w.K / blockK
	for b := range blocks {
		blk := t.w.blockAt(t.panel, b)
		t.w.codesBF16(blk, codes[:])
		var s lanes64
		mulPairs(&s, t.a.B[r*t.a.Stride+b*blockK:], codes[:], blockK, panelCols, t.cols)
		d := t.w.scales(blk)
		for c := range t.cols {
			acc[c] = fma32(F32FromF16(d[c]), s[c], acc[c])
		}
		if t.w.Format == FormatQ4Min {
			m := t.w.mins(blk)
			for c := range t.cols {
				acc[c] = fma32(F32FromF16(m[c]), t.sums[r*blocks+b], acc[c])
			}
		}
	}
}

// codesBF16 writes a block's integer codes as bf16 in a bf16 panel's layout.
// Integers of at most eight bits are exact.
func (p *Panels) codesBF16(blk []byte, dst []uint16) {
	for k := range blockK {
		for c := range panelCols {
			dst[pairAt(k, panelCols, c)] = BF16FromF32(float32(p.code(blk, k, c)))
		}
	}
}

func portablePanelT(s *scratch, t *panelTTask) {
	n := t.hi - t.lo
	for at := 0; at < n; at += chunkN {
		count := min(chunkN, n-at)
		acc := t.accumulate || at > 0
		if t.a.Mode == F32 {
			t.transposeF32(asF32(s.w), t.lo+at, count)
		} else {
			t.transposeBF16(asU16(s.w), t.lo+at, count)
		}
		for r := range t.a.Rows {
			dst := t.dst[r*t.ldd : r*t.ldd+t.cols]
			var l lanes64
			if acc {
				copy(l[:], dst)
			}
			if t.a.Mode == F32 {
				mulF32(&l, t.a.F[r*t.a.Stride+at:], asF32(s.w), count, panelCols, t.cols)
			} else {
				mulPairs(&l, t.a.B[r*t.a.Stride+at:], asU16(s.w), count, panelCols, t.cols)
			}
			copy(dst, l[:])
		}
	}
	if n == 0 && !t.accumulate {
		for r := range t.a.Rows {
			clear(t.dst[r*t.ldd : r*t.ldd+t.cols])
		}
	}
}

// transposeF32 writes W[n0:n0+count, k0:k0+cols] to dst [count][64].
func (t *panelTTask) transposeF32(dst []float32, n0, count int) {
	for i := range count {
		n := n0 + i
		w := t.w.width(n / panelCols)
		src := asF32(t.w.bytes(n / panelCols))[n%panelCols:]
		for c := range t.cols {
			dst[i*panelCols+c] = src[(t.k0+c)*w]
		}
	}
}

// transposeBF16 writes bf16(W[n0:n0+count, k0:k0+cols]) to dst in pairs of n:
// [ceil(count/2)][64][2], an odd count completed with zeros.
func (t *panelTTask) transposeBF16(dst []uint16, n0, count int) {
	var row [panelCols]float32
	for i := range (count + 1) &^ 1 {
		row = [panelCols]float32{}
		if i < count {
			t.w.part(n0+i, t.k0, row[:t.cols])
		}
		for c, v := range row {
			dst[pairAt(i, panelCols, c)] = BF16FromF32(v)
		}
	}
}

// part dequantises elements k0..k0+len(dst) of row n; k0 is a multiple of 32.
func (p *Panels) part(n, k0 int, dst []float32) {
	pi, c := n/panelCols, n%panelCols
	if p.Format == FormatBF16 {
		src, w := asU16(p.bytes(pi)), p.width(pi)
		for i := range dst {
			dst[i] = F32FromBF16(src[pairAt(k0+i, w, c)])
		}
		return
	}
	for i := 0; i < len(dst); i += blockK {
		p.blockRow(p.blockAt(pi, (k0+i)/blockK), c, dst[i:i+blockK])
	}
}

func portableBlock(dst []float32, ldd int, a Operand, b Block, accumulate bool) {
	for r := range a.Rows {
		for c0 := 0; c0 < b.N; c0 += panelCols {
			cols := min(panelCols, b.N-c0)
			out := dst[r*ldd+c0 : r*ldd+c0+cols]
			var acc lanes64
			if accumulate {
				copy(acc[:], out)
			}
			if a.Mode == F32 {
				mulF32(&acc, a.F[r*a.Stride:], b.F[c0:], b.K, b.N, cols)
			} else {
				mulPairs(&acc, a.B[r*a.Stride:], b.B[2*c0:], b.K, b.N, cols)
			}
			copy(out, acc[:])
		}
	}
}

func portableOuter(t *outerArgs) {
	for ti := range t.b.Rows {
		for i := range t.r {
			a, dst := t.a[ti*t.lda+i], t.dst[i*t.ldd:]
			for c := range t.b.Cols {
				var b float32
				if t.b.Mode == F32 {
					b = t.b.F[ti*t.b.Stride+c]
				} else {
					b = F32FromBF16(t.b.B[ti*t.b.Stride+c])
				}
				dst[c] = fma32(a, b, dst[c])
			}
		}
	}
}
