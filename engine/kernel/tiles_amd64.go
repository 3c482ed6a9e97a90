package kernel

import "unsafe"

// tileArgs are the arguments of an assembly tile, which reads them by offset
// and may change k. Strides are in bytes.
type tileArgs struct {
	c      unsafe.Pointer // destination, f32
	ldc    int
	a      unsafe.Pointer // left side: 4 bytes (a pair of bf16 or one f32) per step
	lda    int
	b      unsafe.Pointer // right side: 4 bytes per column and step
	ldb    int            // from step to step
	k      int            // steps, or blocks of 32 for quantised panels
	scale  unsafe.Pointer // f16 scales of the first block, minima 128 bytes on
	lds    int            // from block to block
	sums   unsafe.Pointer // row 0's sum of the first block
	ldsums int            // from row to row
	zero   int            // not 0: start from zero instead of c
	table  unsafe.Pointer // decoding table
	loops  int            // grouped panels: rounds of four steps to a block; low-rank shares: panels
	ahead  uintptr        // fused tiles: memory to prefetch meanwhile
	limit  uintptr        // its end
	ahead2 uintptr        // tall tiles: the same for a second stretch
	limit2 uintptr
	shift  [2]uint16 // tall tiles: by which words of codes are shifted for each vector
	queue  uintptr   // the spans that follow the (second) stretch; the last has no end
}

// tileSet is a family of tiles for one way to multiply.
type tileSet struct {
	plain    [5][17]func(*tileArgs) // by vectors and rows
	scale    [7]func(*tileArgs)     // quantised panel, by rows
	scaleMin [7]func(*tileArgs)     // the same with minima
	wide     [7]func(*tileArgs)     // blocks of any length, scales as f32 (minima 256 bytes on)
	wideMin  [7]func(*tileArgs)
}

// tiling is a tileSet with the shape of its tiles.
type tiling struct {
	tiles   *tileSet
	vecCols int  // columns of a vector: 16 or 8
	maxCols int  // columns of the widest tile: 64 or 16
	widenA  bool // left sides are bf16 and must be widened to f32 first
}

// tileJob is a run of tiles: rows x cols of c, over one chunk of k. Strides in
// bytes, as in tileArgs.
type tileJob struct {
	c           []float32
	ldc         int // values
	a           unsafe.Pointer
	lda         int
	rows, cols  int
	b           unsafe.Pointer
	ldb         int
	steps       int // of the plain tiles
	blocks      int // of the quantised tiles; 0: plain
	scale, sums unsafe.Pointer
	lds, ldsums int
	min         bool
	chain       int // k of a block of a grouped panel; 0: blocks of 32, f16 scales
	accumulate  bool
}

// run cuts the job into tiles. Whole vectors are written in place; columns that
// end within a vector go through s.edge.
func (t *tiling) run(s *scratch, j *tileJob) {
	if cols := j.cols; cols <= t.maxCols && cols%laneCols == 0 && (j.blocks == 0 || cols == t.maxCols) && !t.widenA {
		t.column(s, j)
		return
	}
	args := &s.args
	for r := 0; r < j.rows; {
		mr := t.height(j, j.rows-r, min(j.cols, t.maxCols))
		*args = tileArgs{a: unsafe.Add(j.a, r*j.lda), lda: j.lda}
		if t.widenA {
			t.widen(s, args, mr, j)
		}
		for c := 0; c < j.cols; c += t.maxCols {
			t.tile(s, j, args, r, mr, c)
		}
		r += mr
	}
}

// column is run for one column of tiles that all end in place: what a step spends
// between its tiles.
func (t *tiling) column(s *scratch, j *tileJob) {
	args := &s.args
	*args = tileArgs{ldc: j.ldc * 4, lda: j.lda, b: j.b, ldb: j.ldb}
	if !j.accumulate {
		args.zero = 1
	}
	steps, tiles := j.steps, t.tiles.plain[j.cols/t.vecCols][:]
	if j.blocks > 0 {
		steps = j.blocks
		args.lds, args.ldsums = j.lds, j.ldsums
		tiles = t.blockTiles(j, args)[:]
	}
	a, c := j.a, ptr(j.c)
	for r := 0; r < j.rows; {
		mr := t.height(j, j.rows-r, j.cols)
		args.a, args.c, args.k = a, c, steps
		if j.blocks > 0 {
			args.scale = j.scale
			if j.min {
				args.sums = unsafe.Add(j.sums, r*j.ldsums)
			}
		}
		tiles[mr](args)
		r += mr
		a, c = unsafe.Add(a, mr*j.lda), unsafe.Add(c, mr*j.ldc*4)
	}
}

// tile runs one tile of mr rows from row r, columns from c.
func (t *tiling) tile(s *scratch, j *tileJob, args *tileArgs, r, mr, c int) {
	cols := min(j.cols-c, t.maxCols)
	whole := (cols + laneCols - 1) &^ (laneCols - 1)
	if j.blocks > 0 {
		whole = t.maxCols
	}
	dst, ldc := j.c[r*j.ldc+c:], j.ldc
	edge := whole != cols
	if edge {
		ldc = panelCols
		if j.accumulate {
			copyRows(s.edge, ldc, dst, j.ldc, mr, cols)
		}
		args.c = ptr(s.edge)
	} else {
		args.c = ptr(dst)
	}
	args.ldc = ldc * 4
	args.b, args.ldb = unsafe.Add(j.b, c*4), j.ldb
	args.zero = 0
	if !j.accumulate {
		args.zero = 1
	}
	if j.blocks > 0 {
		args.k, args.lds, args.ldsums = j.blocks, j.lds, j.ldsums
		if j.min {
			args.sums = unsafe.Add(j.sums, r*j.ldsums)
		}
		t.blockTile(j, args, mr, c)
	} else {
		args.k = j.steps
		nv := whole / t.vecCols
		f := t.tiles.plain[nv][mr]
		f(args)
	}
	if edge {
		copyRows(dst, j.ldc, s.edge, ldc, mr, cols)
	}
}

// blockTile runs a tile of a quantised panel from column c.
func (t *tiling) blockTile(j *tileJob, args *tileArgs, mr, c int) {
	width := 2 // bytes of a scale
	if j.chain > 0 {
		width = 4
	}
	args.scale = unsafe.Add(j.scale, c*width)
	t.blockTiles(j, args)[mr](args)
}

// blockTiles picks the tiles of a quantised panel by their rows, and says in args
// how long its blocks are.
func (t *tiling) blockTiles(j *tileJob, args *tileArgs) *[7]func(*tileArgs) {
	scale, min := &t.tiles.scale, &t.tiles.scaleMin
	if j.chain > 0 {
		scale, min = &t.tiles.wide, &t.tiles.wideMin
		args.loops = j.chain / groupK // four pairs a round
		if t.widenA {
			args.loops *= 2 // four values
		}
	}
	if j.min {
		return min
	}
	return scale
}

// height is the tallest tile for the rows that are left; two nearly equal
// tiles replace a full and a low one.
func (t *tiling) height(j *tileJob, left, cols int) int {
	const tallest = 6 // of the widest tiles, which have every height
	nv := (cols + laneCols - 1) / laneCols * laneCols / t.vecCols
	if j.blocks > 0 || nv*t.vecCols == t.maxCols {
		if left > tallest && left < 2*tallest {
			return (left + 1) / 2
		}
		return min(left, tallest)
	}
	h := min(left, tileRows)
	for t.tiles.plain[nv][h] == nil {
		h--
	}
	return h
}

// widen copies mr rows of bf16 to s.a as f32, the odd value of a pair first,
// and points args at the copy.
func (t *tiling) widen(s *scratch, args *tileArgs, mr int, j *tileJob) {
	values := j.steps
	if j.blocks > 0 {
		values = j.blocks * blockK
		if j.chain > 0 {
			values = j.blocks * j.chain
		}
	}
	for r := range mr {
		src, dst := unsafe.Add(args.a, r*args.lda), s.a[r*chunkWide:]
		if n := values / 8; n > 0 {
			s.dec = decodeArgs{dst: ptr(dst), src: src, count: n}
			widenRow(&s.dec)
		}
		tail := u16At(src, values)
		for i := values &^ 7; i < values; i += 2 {
			dst[i], dst[i+1] = F32FromBF16(tail[i+1]), F32FromBF16(tail[i])
		}
	}
	args.a, args.lda = ptr(s.a), chunkWide*4
}

func copyRows(dst []float32, ldd int, src []float32, lds, rows, cols int) {
	for r := range rows {
		copy(dst[r*ldd:r*ldd+cols], src[r*lds:])
	}
}
