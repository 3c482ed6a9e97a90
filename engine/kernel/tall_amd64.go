package kernel

import "unsafe"

// Rows of a tall tile, as the generator has them.
const (
	tallLow, tallRows = 6, 11
	tallCols          = panelCols / 2
)

// tallFits reports whether tallPanel takes rows of that format.
func tallFits(f Format, rows int) bool {
	return f.quantised() && f.grouping() == nil && rows >= tallLow && rows <= fusedUpTo(f)
}

// tallPanel multiplies few rows with a quantised panel, 32 columns at a time:
// each code is decoded once for all rows of a tile. Meanwhile it fetches the
// weights that are multiplied next, spread over the whole task: a first tile that
// fetches for all of them waits for memory while it idles during the others.
func tallPanel(s *scratch, t *panelTask) {
	first, last := 0, 2
	switch t.half {
	case lowHalf:
		last = 1
	case highHalf:
		first = 1
	}
	tiles := (t.a.Rows + tallRows - 1) / tallRows
	next := t.next
	share := (int(next.end-next.at)/(tiles*(last-first)) + vectorBytes) &^ (vectorBytes - 1)
	for h := first; h < last; h++ {
		for i, r := 0, 0; i < tiles; i++ {
			mr := (t.a.Rows - r + tiles - i - 1) / (tiles - i)
			tallTile(s, t, h, r, mr, next.cut(share))
			r += mr
		}
	}
}

// tallTile is one tile: mr rows from row r, half h.
func tallTile(s *scratch, t *panelTask, h, r, mr int, next Span) {
	cols := min(t.cols-h*tallCols, tallCols)
	if cols <= 0 {
		return
	}
	args, blocks := &s.args, t.w.K/blockK
	dst := t.dst[r*t.ldd+h*tallCols:]
	b := t.w.bytes(t.panel)
	*args = tileArgs{c: ptr(dst), ldc: t.ldd * 4, a: ptr(t.a.B[r*t.a.Stride:]), lda: t.a.Stride * 2,
		b: ptr(b), k: blocks, ldsums: blocks * 4, table: codeTable(t.w.Format),
		ahead: next.at, limit: next.end, shift: [2]uint16{uint16(8 * h), uint16(8*h + 4)}}
	if t.w.Format == FormatQ8 {
		args.b = ptr(b[h*vectorBytes:]) // codes and scales alike
	} else {
		args.lds = h * vectorBytes
	}
	if next.at == next.end {
		args.ahead = uintptr(args.b)
	}
	args.ahead2, args.limit2 = uintptr(args.b), ^uintptr(0)
	if t.ahead != nil {
		t.ahead.fill(&s.queue, t.w.panel/2, args.ahead2)
		args.ahead2, args.limit2, args.queue = s.queue[0].at, s.queue[0].end, uintptr(unsafe.Pointer(&s.queue[1]))
	}
	if t.w.Format == FormatQ4Min {
		args.sums = ptr(t.sums[r*blocks:])
	}
	if !t.accumulate {
		args.zero = 1
	}
	if cols < tallCols {
		copyRows(s.edge, panelCols, dst, t.ldd, mr, cols)
		args.c, args.ldc = ptr(s.edge), panelCols*4
	}
	tallTiles[t.w.Format][mr](args)
	if cols < tallCols {
		copyRows(dst, t.ldd, s.edge, panelCols, mr, cols)
	}
}
