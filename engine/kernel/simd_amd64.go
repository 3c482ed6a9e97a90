package kernel

import "unsafe"

// simd is what the assembly kernel sets share: which tiles they multiply with.
type simd struct {
	bf16  tiling // bf16 mode
	f32   tiling // f32 mode
	fused bool   // few rows: decode in registers
	outer *[2][4][9]func(*tileArgs)

	expand expander // scales of grouped formats

	blocks blockFuncs
}

// fusedUpTo is the number of rows up to which decoding a quantised panel anew
// for each tile of rows costs less than decoding it to memory first: 4-bit codes
// take a shift and a lookup, which hide behind the multiplies.
func fusedUpTo(f Format) int {
	if f == FormatQ8 {
		return 32
	}
	return 64
}

// panel is MatMul on one panel.
func (v *simd) panel(s *scratch, t *panelTask) {
	if t.w.K == 0 {
		clearUnless(t.accumulate, t.dst, t.ldd, t.a.Rows, t.cols)
		return
	}
	switch f := t.w.Format; {
	case f == FormatF32:
		v.plainF32(s, t)
	case f == FormatBF16:
		v.plainBF16(s, t)
	case f.grouping() != nil && v.fused && t.a.Rows <= fusedUpTo(f):
		v.fusedGroup(s, t)
	case v.fused && tallFits(f, t.a.Rows):
		tallPanel(s, t)
	case f.grouping() == nil && v.fused && t.a.Rows <= fusedUpTo(f):
		fusedPanel(s, t)
	default:
		v.decoded(s, t)
	}
}

// decoded multiplies many rows with a quantised panel, which is decoded in chunks.
// Each block of k reads and writes the destination, so where other workers write
// the columns beside these, it is a copy of the worker's own: caches that fetch
// ahead took each other's lines (512 x 1536 x 576, two threads: 1.55 times one
// thread's rate with q4min, 1.8 times so).
func (v *simd) decoded(s *scratch, t *panelTask) {
	dst, ldd := t.dst, t.ldd
	if t.shared {
		t.dst, t.ldd = s.columns(t.a.Rows), panelCols
		if t.accumulate {
			copyRows(t.dst, t.ldd, dst, ldd, t.a.Rows, t.cols)
		}
	}
	if t.w.Format.grouping() != nil {
		v.grouped(s, t)
	} else {
		v.quantised(s, t)
	}
	if t.shared {
		copyRows(dst, ldd, t.dst, t.ldd, t.a.Rows, t.cols)
		t.dst, t.ldd = dst, ldd
	}
}

// job is the part of a tileJob that no chunk changes.
func (s *scratch) job(dst []float32, ldd int, rows, cols int) *tileJob {
	j := &s.tiles
	*j = tileJob{c: dst, ldc: ldd, rows: rows, cols: cols}
	return j
}

func (v *simd) plainF32(s *scratch, t *panelTask) {
	j := s.job(t.dst, t.ldd, t.a.Rows, t.cols)
	j.lda, j.ldb = t.a.Stride*4, t.w.width(t.panel)*4
	b := ptr(t.w.bytes(t.panel))
	for k := 0; k < t.w.K; k += chunkK {
		j.steps = min(chunkK, t.w.K-k)
		j.a, j.b = ptr(t.a.F[k:]), unsafe.Add(b, k*j.ldb)
		j.accumulate = t.accumulate || k > 0
		v.f32.run(s, j)
	}
}

func (v *simd) plainBF16(s *scratch, t *panelTask) {
	j := s.job(t.dst, t.ldd, t.a.Rows, t.cols)
	width := t.w.width(t.panel)
	j.lda = t.a.Stride * 2
	b := ptr(t.w.bytes(t.panel))
	for k := 0; k < t.w.K; k += chunkK {
		pairs := (min(chunkK, t.w.K-k) + 1) / 2
		v.pairs(s, j, pairs, unsafe.Add(b, k/2*width*4), width)
		j.a = ptr(t.a.B[k:])
		j.accumulate = t.accumulate || k > 0
		v.bf16.run(s, j)
	}
}

// pairs points j at count pairs of a bf16 panel, widened where the set must.
func (v *simd) pairs(s *scratch, j *tileJob, count int, b unsafe.Pointer, width int) {
	j.steps, j.b, j.ldb = count, b, width*4
	if v.bf16.widenA {
		widenPanel(s, ptr(s.w), b, count, width*4, width/laneCols)
		j.steps, j.b, j.ldb = 2*count, ptr(s.w), panelCols*4
	}
}

func (v *simd) quantised(s *scratch, t *panelTask) {
	j := s.job(t.dst, t.ldd, t.a.Rows, t.cols)
	blocks := t.w.K / blockK
	j.lda, j.b, j.ldb = t.a.Stride*2, ptr(s.w), panelCols*4
	j.min, j.lds, j.ldsums = t.w.Format == FormatQ4Min, t.w.block, blocks*4
	for b := 0; b < blocks; b += chunkK / blockK {
		j.blocks = min(chunkK/blockK, blocks-b)
		if v.bf16.widenA {
			decodeF32(s, ptr(s.w), t.w, t.panel, b, j.blocks)
		} else {
			decodePairs(s, t.w, t.panel, b, j.blocks)
		}
		j.a, j.scale = ptr(t.a.B[b*blockK:]), ptr(t.w.scales(t.w.blockAt(t.panel, b)))
		if j.min {
			j.sums = ptr(t.sums[b:])
		}
		j.accumulate = t.accumulate || b > 0
		v.bf16.run(s, j)
	}
}

// aheadBytes is how far ahead few-row multiplies prefetch their own weights.
const aheadBytes = 4096

// fusedPanel multiplies few rows with a quantised panel, decoding in registers.
func fusedPanel(s *scratch, t *panelTask) {
	args := &s.args
	blocks := t.w.K / blockK
	tiles := (t.a.Rows + 4) / 5
	for i, r := 0, 0; i < tiles; i++ {
		mr := (t.a.Rows - r + tiles - i - 1) / (tiles - i)
		dst := t.dst[r*t.ldd:]
		*args = tileArgs{c: ptr(dst), ldc: t.ldd * 4, a: ptr(t.a.B[r*t.a.Stride:]), lda: t.a.Stride * 2,
			b: ptr(t.w.bytes(t.panel)), k: blocks, ldsums: blocks * 4, table: codeTable(t.w.Format)}
		args.ahead, args.limit = uintptr(args.b)+aheadBytes, ^uintptr(0)
		if i > 0 && t.ahead != nil { // the panel is in the cache now
			t.ahead.fill(&s.queue, t.w.panel, uintptr(args.b))
			args.ahead, args.limit, args.queue = s.queue[0].at, s.queue[0].end, uintptr(unsafe.Pointer(&s.queue[1]))
		}
		if t.w.Format == FormatQ4Min {
			args.sums = ptr(t.sums[r*blocks:])
		}
		if !t.accumulate {
			args.zero = 1
		}
		if t.cols < panelCols {
			copyRows(s.edge, panelCols, dst, t.ldd, mr, t.cols)
			args.c, args.ldc = ptr(s.edge), panelCols*4
		}
		fusedTiles[t.w.Format][mr](args)
		if t.cols < panelCols {
			copyRows(dst, t.ldd, s.edge, panelCols, mr, t.cols)
		}
		r += mr
	}
}

// block is MulBlock. It knows no worker, so it borrows scratch memory.
func (v *simd) block(dst []float32, ldd int, a Operand, b Block, accumulate bool) {
	if b.K == 0 {
		clearUnless(accumulate, dst, ldd, a.Rows, b.wanted())
		return
	}
	s, slot := borrowScratch()
	defer returnScratch(s, slot)
	for c := 0; c < b.wanted(); c += panelCols {
		cols := min(panelCols, b.wanted()-c)
		j := s.job(dst[c:], ldd, a.Rows, cols)
		for k := 0; k < b.K; k += chunkK {
			count := min(chunkK, b.K-k)
			j.accumulate = accumulate || k > 0
			if a.Mode == F32 {
				j.a, j.lda = ptr(a.F[k:]), a.Stride*4
				j.b, j.ldb, j.steps = ptr(b.F[k*b.N+c:]), b.N*4, count
				v.f32.run(s, j)
				continue
			}
			j.a, j.lda = ptr(a.B[k:]), a.Stride*2
			v.blockPairs(s, j, count/2, ptr(b.B[k*b.N+2*c:]), b.N, cols)
			v.bf16.run(s, j)
		}
	}
}

// blockPairs is pairs for a block of n columns of which cols are wanted.
func (v *simd) blockPairs(s *scratch, j *tileJob, count int, b unsafe.Pointer, n, cols int) {
	j.steps, j.b, j.ldb = count, b, n*4
	if v.bf16.widenA {
		widenPanel(s, ptr(s.w), b, count, n*4, cols/laneCols)
		j.steps, j.b, j.ldb = 2*count, ptr(s.w), panelCols*4
	}
}
