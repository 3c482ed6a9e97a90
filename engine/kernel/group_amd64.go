package kernel

import "unsafe"

// nestedArgs are the arguments of expandNF4, read by offset.
type nestedArgs struct {
	dst, src    unsafe.Pointer
	code, scale unsafe.Pointer
	count       int
	first       int // block, added to the columns' indices
	index       unsafe.Pointer
	offset      float32
	last        uint32 // of scale's entries
}

// groupTables hold what the codes of grouped formats stand for, in bf16 (32
// entries, or 64) and, for NF4, in f32.
var groupTables = func() (t struct {
	bf16 [numFormats][64]uint16
	nf4  [16]float32
}) {
	for f := range numFormats {
		g := f.grouping()
		if g == nil {
			continue
		}
		for i := range 64 { // lookups use five index bits where a code has four
			t.bf16[f][i] = BF16FromF32(groupValues[f][i&(16<<g.high-1)])
		}
	}
	copy(t.nf4[:], groupValues[FormatNF4][:])
	return t
}()

// groupBias is what a code of format f is shifted down by.
func groupBias(f Format) int32 { return int32(-groupValues[f][0]) }

// expander turns a panel's scales into f32: see groupScales.
type expander struct {
	f16, k, kMin func(*decodeArgs)
	nf4          func(*nestedArgs)
}

var (
	expand512 = expander{expandF16Z, expandKZ, expandKMinZ, expandNF4Z}
	expand256 = expander{expandF16Y, expandKY, expandKMinY, expandNF4Y}
)

// scales is groupScales into s.scale.
func (v *simd) scales(s *scratch, w *Panels, g *grouping, panel, first, count int) {
	rows := g.rows()
	at := first * rows * panelCols
	switch g.kind {
	case scaleF16:
		src := asU16(w.bytes(panel)[g.codeBytes(w.K):])
		s.dec = decodeArgs{dst: ptr(s.scale), src: ptr(src[at:]), count: count * rows}
		v.expand.f16(hideDecode(&s.dec))
	case scaleK:
		per := superK / g.block
		head, sub := w.superScales(panel)
		s.dec = decodeArgs{dst: ptr(s.scale), src: ptr(sub[at:]), table: ptr(head[first/per*rows*panelCols:]),
			count: count, stride: per, vectors: per - first%per}
		if g.min {
			v.expand.kMin(hideDecode(&s.dec))
		} else {
			v.expand.k(hideDecode(&s.dec))
		}
	case scaleNested:
		for c := range panelCols {
			s.index[c] = uint32((panel*panelCols + c) * (w.K / g.block))
		}
		s.nest = nestedArgs{dst: ptr(s.scale), src: ptr(w.bytes(panel)[g.codeBytes(w.K)+at:]), code: unsafe.Pointer(w.nest.code),
			scale: ptr(w.nest.scale), count: count, first: first, index: unsafe.Pointer(&s.index), offset: w.nest.offset, last: uint32(len(w.nest.scale) - 1)}
		v.expand.nf4(hideNested(&s.nest))
	}
}

func hideDecode(a *decodeArgs) *decodeArgs {
	u := uintptr(unsafe.Pointer(a))
	return *(**decodeArgs)(unsafe.Pointer(&u))
}

func hideNested(a *nestedArgs) *nestedArgs {
	u := uintptr(unsafe.Pointer(a))
	return *(**nestedArgs)(unsafe.Pointer(&u))
}

// groupCodes is the memory of a panel's codes from k on.
func groupCodes(w *Panels, g *grouping, panel, k int) unsafe.Pointer {
	return ptr(w.bytes(panel)[k/groupK*g.groupBytes():])
}

// decodeGroupPairs unpacks count k to bf16 codes in pairs.
func decodeGroupPairs(s *scratch, dst unsafe.Pointer, w *Panels, g *grouping, panel, k, count int) {
	s.dec = decodeArgs{dst: dst, src: groupCodes(w, g, panel, k), table: unsafe.Pointer(&groupTables.bf16[w.Format]), count: count / groupK}
	switch g.high {
	case 0:
		decodeGroup0BF16(&s.dec)
	case 1:
		decodeGroup1BF16(&s.dec)
	default:
		decodeGroup2BF16(&s.dec)
	}
}

// decodeGroupF32 unpacks count k to f32 codes, the odd one of a pair first.
func decodeGroupF32(s *scratch, dst unsafe.Pointer, w *Panels, g *grouping, panel, k, count int) {
	s.dec = decodeArgs{dst: dst, src: groupCodes(w, g, panel, k), count: count / groupK, bias: groupBias(w.Format)}
	switch {
	case w.Format == FormatNF4:
		s.dec.table = unsafe.Pointer(&groupTables.nf4)
		decodeLookupF32(&s.dec)
	case g.high == 0:
		decodeGroup0F32(&s.dec)
	case g.high == 1:
		decodeGroup1F32(&s.dec)
	default:
		decodeGroup2F32(&s.dec)
	}
}

// groupChunk is how many k of a grouped panel are decoded at a time.
func (g *grouping) chunk() int {
	return min(chunkK, scaleRows/g.rows()*g.block) / g.block * g.block
}

// grouped is MatMul on one panel of a grouped format, decoded to memory.
func (v *simd) grouped(s *scratch, t *panelTask) {
	g := t.w.Format.grouping()
	j := s.job(t.dst, t.ldd, t.a.Rows, t.cols)
	j.lda, j.b, j.ldb = t.a.Stride*2, ptr(s.w), panelCols*4
	j.min, j.chain, j.lds, j.ldsums = g.min, g.block, g.rows()*panelCols*4, t.w.K/blockK*4
	j.scale = ptr(s.scale)
	for k := 0; k < t.w.K; k += g.chunk() {
		count := min(g.chunk(), t.w.K-k)
		j.blocks = count / g.block
		if v.bf16.widenA {
			decodeGroupF32(s, ptr(s.w), t.w, g, t.panel, k, count)
		} else {
			decodeGroupPairs(s, ptr(s.w), t.w, g, t.panel, k, count)
		}
		v.scales(s, t.w, g, t.panel, k/g.block, j.blocks)
		j.a = ptr(t.a.B[k:])
		if g.min {
			j.sums = ptr(t.sums[k/blockK:])
		}
		j.accumulate = t.accumulate || k > 0
		v.bf16.run(s, j)
	}
}

// fusedGroup multiplies few rows with a grouped panel, decoding in registers.
func (v *simd) fusedGroup(s *scratch, t *panelTask) {
	g := t.w.Format.grouping()
	chunk, sums := scaleRows/g.rows()*g.block, t.w.K/blockK
	min01 := 0
	if g.min {
		min01 = 1
	}
	tiles := (t.a.Rows + 4) / 5
	for k := 0; k < t.w.K; k += chunk {
		blocks := min(chunk, t.w.K-k) / g.block
		v.scales(s, t.w, g, t.panel, k/g.block, blocks)
		for i, r := 0, 0; i < tiles; i++ {
			mr := (t.a.Rows - r + tiles - i - 1) / (tiles - i)
			dst := t.dst[r*t.ldd:]
			args := &s.args
			*args = tileArgs{c: ptr(dst), ldc: t.ldd * 4, a: ptr(t.a.B[r*t.a.Stride+k:]), lda: t.a.Stride * 2,
				b: groupCodes(t.w, g, t.panel, k), k: blocks, scale: ptr(s.scale), lds: g.rows() * panelCols * 4, ldsums: sums * 4,
				table: unsafe.Pointer(&groupTables.bf16[t.w.Format]), loops: g.block / groupK}
			if g.min {
				args.sums = ptr(t.sums[r*sums+k/blockK:])
			}
			if !t.accumulate && k == 0 {
				args.zero = 1
			}
			if t.cols < panelCols {
				copyRows(s.edge, panelCols, dst, t.ldd, mr, t.cols)
				args.c, args.ldc = ptr(s.edge), panelCols*4
			}
			fusedGroups[g.high][min01][mr](args)
			if t.cols < panelCols {
				copyRows(dst, t.ldd, s.edge, panelCols, mr, t.cols)
			}
			r += mr
		}
	}
}

// transposeGroup fills dst with the transpose of bf16(W) of panel p from column k0
// of W: for sets with bf16 in pairs of n, else widened.
func (v *simd) transposeGroup(s *scratch, t *panelTTask, dst unsafe.Pointer, p int) {
	g := t.w.Format.grouping()
	first, last := t.k0/g.block, (t.k0+t.cols+g.block-1)/g.block
	v.scales(s, t.w, g, p, first, last-first)
	step := min(g.block, 32)
	if v.bf16.widenA {
		decodeGroupF32(s, ptr(s.w2), t.w, g, p, t.k0, t.cols)
	} else {
		step = 16
		decodeGroupPairs(s, ptr(s.w2), t.w, g, p, t.k0, t.cols)
	}
	for k := 0; k < t.cols; k += step {
		scale := ptr(s.scale[((t.k0+k)/g.block-first)*g.rows()*panelCols:])
		if v.bf16.widenA {
			s.dec = decodeArgs{dst: unsafe.Add(dst, k*4), src: unsafe.Add(ptr(s.w2), k*panelCols*4), table: scale,
				count: step / 8, stride: panelCols * 4, vectors: panelCols / 8}
			if g.min {
				transpose8MinWide(&s.dec)
			} else {
				transpose8ScaleWide(&s.dec)
			}
			continue
		}
		s.dec = decodeArgs{dst: unsafe.Add(dst, k*4), src: unsafe.Add(ptr(s.w2), k*panelCols*2), table: scale, stride: panelCols * 4}
		if g.min {
			transposeMinWide(&s.dec)
		} else {
			transposeScaleWide(&s.dec)
		}
	}
}
