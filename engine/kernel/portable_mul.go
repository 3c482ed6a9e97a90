package kernel

// This file is the written reference of the multiplies: what each kernel set's
// bits are compared with. It favours plainness over speed.

// lanes64 is one value for each column of a panel.
type lanes64 [panelCols]float32

func portablePanel(s *scratch, t *panelTask) {
	if t.w.K == 0 {
		clearUnless(t.accumulate, t.dst, t.ldd, t.a.Rows, t.cols)
		return
	}
	switch t.w.Format {
	case FormatF32:
		w, width := asF32(t.w.bytes(t.panel)), t.w.width(t.panel)
		t.eachRow(t.accumulate, func(r int, acc *lanes64) {
			mulF32(acc, t.a.F[r*t.a.Stride:], w, t.w.K, width, t.cols)
		})
	case FormatBF16:
		w, width := asU16(t.w.bytes(t.panel)), t.w.width(t.panel)
		t.eachRow(t.accumulate, func(r int, acc *lanes64) {
			mulPairs(acc, t.a.B[r*t.a.Stride:], w, t.w.K, width, t.cols)
		})
	case FormatQ5, FormatQ5Min, FormatQ4K, FormatQ5K, FormatQ6K, FormatNF4:
		t.portableGroups(s)
	default:
		codes := asU16(s.w2)[:blockK*panelCols] // bf16 pairs, as in a bf16 panel
		for b := range t.w.K / blockK {
			blk := t.w.blockAt(t.panel, b)
			t.w.codesBF16(blk, codes)
			t.eachRow(t.accumulate || b > 0, func(r int, acc *lanes64) { t.mulBlock(acc, r, b, blk, codes) })
		}
	}
}

// clearUnless zeroes a destination that is not to be continued.
func clearUnless(keep bool, dst []float32, ldd, rows, cols int) {
	if !keep {
		for r := range rows {
			clear(dst[r*ldd : r*ldd+cols])
		}
	}
}

// eachRow calls f with each row's chains: those in dst, or new ones.
func (t *panelTask) eachRow(accumulate bool, f func(r int, acc *lanes64)) {
	for r := range t.a.Rows {
		dst := t.dst[r*t.ldd : r*t.ldd+t.cols]
		var acc lanes64
		if accumulate {
			copy(acc[:], dst)
		}
		f(r, &acc)
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
// of a pair first, as VDPBF16PS does. Each line is fmaBF16, written out because
// this loop is all the time of a machine without a faster set.
func mulPairs(acc *lanes64, x, w []uint16, k, width, cols int) {
	for c := range cols {
		acc[c] = daz(acc[c])
	}
	for i := 0; i < k; i += 2 {
		x0, x1 := float64(daz(F32FromBF16(x[i]))), float64(daz(F32FromBF16(x[i+1])))
		pair := w[i*width : i*width+2*cols]
		for c := range cols {
			a := to32(float64(x1*float64(daz(F32FromBF16(pair[2*c+1])))) + float64(acc[c]))
			acc[c] = to32(float64(x0*float64(daz(F32FromBF16(pair[2*c])))) + float64(a))
		}
	}
}

// mulBlock continues acc with block b of row r of a times a quantised panel: a
// chain over the integer codes, then the block's scale and minimum.
func (t *panelTask) mulBlock(acc *lanes64, r, b int, blk []byte, codes []uint16) {
	var s lanes64
	mulPairs(&s, t.a.B[r*t.a.Stride+b*blockK:], codes, blockK, panelCols, t.cols)
	d := t.w.scales(blk)
	for c := range t.cols {
		acc[c] = fma32(F32FromF16(d[c]), s[c], acc[c])
	}
	if t.w.Format == FormatQ4Min {
		m, sum := t.w.mins(blk), t.sums[r*(t.w.K/blockK)+b]
		for c := range t.cols {
			acc[c] = fma32(F32FromF16(m[c]), sum, acc[c])
		}
	}
}

// portableGroups is portablePanel for the grouped formats: block by block, a
// chain over the codes, then the block's scale and minimum.
func (t *panelTask) portableGroups(s *scratch) {
	g, data, codes := t.w.Format.grouping(), t.w.bytes(t.panel), asU16(s.w2)
	for b := range t.w.K / g.block {
		t.w.groupScales(s.scale, g, t.panel, b, 1)
		for k := range g.block {
			for c := range panelCols {
				codes[pairAt(k, panelCols, c)] = BF16FromF32(t.w.groupCode(g, data, b*g.block+k, c))
			}
		}
		t.eachRow(t.accumulate || b > 0, func(r int, acc *lanes64) {
			var sum lanes64
			mulPairs(&sum, t.a.B[r*t.a.Stride+b*g.block:], codes, g.block, panelCols, t.cols)
			for c := range t.cols {
				acc[c] = fma32(s.scale[c], sum[c], acc[c])
			}
			if g.min {
				x := t.sums[r*(t.w.K/blockK)+b]
				for c := range t.cols {
					acc[c] = fma32(s.scale[panelCols+c], x, acc[c])
				}
			}
		})
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
	if n == 0 {
		clearUnless(t.accumulate, t.dst, t.ldd, t.a.Rows, t.cols)
	}
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
	if p.Format.grouping() != nil {
		p.groupPart(n, k0, dst)
		return
	}
	for i := 0; i < len(dst); i += blockK {
		p.blockRow(p.blockAt(pi, (k0+i)/blockK), c, dst[i:i+blockK])
	}
}

func portableBlock(dst []float32, ldd int, a Operand, b Block, accumulate bool) {
	for r := range a.Rows {
		for c0 := 0; c0 < b.wanted(); c0 += panelCols {
			cols := min(panelCols, b.wanted()-c0)
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
