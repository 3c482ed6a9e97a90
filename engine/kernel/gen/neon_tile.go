package main

import "fmt"

// A NEON tile multiplies mr rows by nv vectors of four columns, with one
// instruction fmla v, b, a[lane]: four values of k of a row lie in one register,
// so that no broadcast is needed. 24 accumulators, six rows of a and two vectors
// of b are the 32 registers.
type neonTile struct {
	mr, nv int
	bf16   bool // a is bf16 and b lies at 256 bytes a step; pairs are taken odd first
}

// neonTiles are the shapes: six rows by 16 columns, and fewer rows by more
// columns, which keep as many accumulators busy.
var neonTiles = []struct{ mr, nv int }{{1, 4}, {2, 4}, {3, 4}, {4, 4}, {5, 4}, {6, 4}, {1, 16}, {2, 8}, {3, 8}}

// Offsets in neonArgs; a test checks them against the Go type.
const (
	nC, nLDC, nA, nLDA, nB, nLDB = 0, 8, 16, 24, 32, 40
	nK, nScale, nLDS, nSums      = 48, 56, 64, 72
	nLDSums, nZero, nWork        = 80, 88, 96
)

func (t neonTile) name(kind string) string {
	side := "F32"
	if t.bf16 {
		side = "BF16"
	}
	return fmt.Sprintf("neon%s%s_%dx%d", kind, side, t.mr, t.nv)
}

func (t neonTile) acc(r, v int) int { return r*t.nv + v }
func (t neonTile) a(r int) int      { return t.mr*t.nv + r }
func (t neonTile) b(i int) int      { return t.mr*t.nv + t.mr + i }

func rowReg(r int) string { return sprint("R%d", 6+r) } // addresses of a's rows

func (t neonTile) loadRows(a *neonAsm) {
	a.args(nA, rowReg(0), nLDA, "R12")
	for r := 1; r < t.mr; r++ {
		a.f("ADD R12, %s, %s", rowReg(r-1), rowReg(r))
	}
}

// loadA loads count values of k of every row.
func (t neonTile) loadA(a *neonAsm, count int) {
	size := 4
	if t.bf16 {
		size = 2
	}
	op := map[int]string{16: "FMOVQ", 8: "FMOVD", 4: "FMOVS"}[count*size]
	for r := range t.mr {
		a.f("%s.P %d(%s), F%d", op, count*size, rowReg(r), t.a(r))
	}
	if t.bf16 {
		for r := range t.mr {
			a.v2("shll", t.a(r), t.a(r))
		}
	}
}

// step multiplies one value of k: lane of a by the row of b at R3 + off.
func (t neonTile) step(a *neonAsm, lane, off int) {
	for v := 0; v < t.nv; v += 2 {
		a.f("FLDPQ %d(R3), (F%d, F%d)", off+v*16, t.b(0), t.b(1))
		for i := range 2 {
			for r := range t.mr {
				a.fmlaLane(t.acc(r, v+i), t.b(i), t.a(r), lane)
			}
		}
	}
}

// steps multiplies count values of k, one or an even number.
func (t neonTile) steps(a *neonAsm, count int) {
	t.loadA(a, count)
	for s := range count {
		if t.bf16 {
			t.step(a, s^1, (s^1)*256)
			continue
		}
		t.step(a, s, 0)
		a.f("ADD R4, R3")
	}
	if t.bf16 {
		a.f("ADD $%d, R3", count*256)
	}
}

// rowsOfC calls f with R1 at each row of the destination.
func (t neonTile) rowsOfC(a *neonAsm, f func(r int)) {
	a.f("MOVD %d(%s), R1", nC, rArgs)
	for r := range t.mr {
		f(r)
		if r < t.mr-1 {
			a.f("ADD R2, R1")
		}
	}
}

// pairs calls f for each pair of vectors of a row.
func (t neonTile) pairs(f func(v int)) {
	for v := 0; v < t.nv; v += 2 {
		f(v)
	}
}

// plain emits c (+)= a·b over k steps; nothing is written if a result was
// flushed.
func (t neonTile) plain(a *neonAsm) {
	a.begin(t.name(""), "neonArgs", true)
	t.loadRows(a)
	a.args(nLDC, "R2", nB, "R3", nLDB, "R4", nK, "R5", nZero, "R13")
	zero, loop, tail, done := a.newLabel("zero"), a.newLabel("loop"), a.newLabel("tail"), a.newLabel("done")
	a.f("CBNZ R13, %s", zero)
	t.rowsOfC(a, func(r int) {
		t.pairs(func(v int) { a.f("FLDPQ %d(R1), (F%d, F%d)", v*16, t.acc(r, v), t.acc(r, v+1)) })
	})
	a.f("B %s", tail)
	a.label(zero)
	a.zeros(t.mr * t.nv)
	a.f("B %s", tail)
	a.label(loop)
	t.steps(a, 4)
	a.label(tail)
	a.f("SUBS $4, R5, R5")
	a.f("BGE %s", loop)
	a.f("ADDS $4, R5, R5")
	a.f("BEQ %s", done)
	if t.bf16 { // an even number: two are left
		t.steps(a, 2)
	} else {
		one := a.newLabel("one")
		a.label(one)
		t.steps(a, 1)
		a.f("SUBS $1, R5, R5")
		a.f("BNE %s", one)
	}
	a.label(done)
	a.end(func() {
		t.rowsOfC(a, func(r int) {
			t.pairs(func(v int) { a.f("FSTPQ (F%d, F%d), %d(R1)", t.acc(r, v), t.acc(r, v+1), v*16) })
		})
	})
}

// copyC copies the destination to the work area or back, through F0 and F1.
func (t neonTile) copyC(a *neonAsm, back bool) {
	a.f("MOVD %d(%s), R14", nWork, rArgs)
	t.rowsOfC(a, func(r int) {
		t.pairs(func(v int) {
			c, w := sprint("%d(R1)", v*16), sprint("%d(R14)", (r*t.nv+v)*16)
			if back {
				c, w = w, c
			}
			a.f("FLDPQ %s, (F0, F1)", c)
			a.f("FSTPQ (F0, F1), %s", w)
		})
	})
}

// block emits the tile of a quantised panel whose codes are decoded: for each
// block of 32 k, s = chain from 0 over the codes; c = fma(d, s, c), with min
// also c = fma(m, sum, c). c lies in the work area meanwhile, so that the
// destination is untouched if a result was flushed.
func (t neonTile) block(a *neonAsm, min bool) {
	kind := "Scale"
	if min {
		kind = "Min"
	}
	a.begin(t.name(kind), "neonArgs", true)
	t.loadRows(a)
	a.args(nLDC, "R2", nB, "R3", nK, "R5", nScale, "R12", nLDS, "R15", nSums, "R19", nLDSums, "R20", nZero, "R13")
	zero, block, loop := a.newLabel("zero"), a.newLabel("block"), a.newLabel("loop")
	a.f("CBNZ R13, %s", zero)
	t.copyC(a, false)
	a.f("B %s", block)
	a.label(zero)
	a.f("MOVD %d(%s), R14", nWork, rArgs)
	a.zeros(2)
	for v := 0; v < t.mr*t.nv; v += 2 {
		a.f("FSTPQ (F0, F1), %d(R14)", v*16)
	}
	a.label(block)
	a.zeros(t.mr * t.nv)
	a.f("MOVD $8, R4")
	a.label(loop)
	t.steps(a, 4)
	a.f("SUBS $1, R4, R4")
	a.f("BNE %s", loop)
	t.scale(a, min)
	a.f("ADD R15, R12")
	a.f("ADD $4, R19")
	a.f("SUBS $1, R5, R5")
	a.f("BNE %s", block)
	a.end(func() { t.copyC(a, true) })
}

// scale adds a block's chains to c: R12 points at its f16 scales, minima 128
// bytes on, R19 at the first row's sum of activations.
func (t neonTile) scale(a *neonAsm, min bool) {
	free := t.mr * t.nv
	d, m, c, sum := free, free+2, free+4, free+6
	if t.mr*t.nv+7 > 32 {
		panic("no registers left")
	}
	t.pairs(func(v int) {
		load := func(off, to int) {
			a.f("FMOVQ %d(R12), F%d", off+v*8, to+1)
			a.v2("fcvtl", to, to+1)
			a.v2("fcvtl2", to+1, to+1)
		}
		load(0, d)
		if min {
			load(128, m)
			a.f("MOVD R19, R21")
		}
		for r := range t.mr {
			at := (r*t.nv + v) * 16
			a.f("FLDPQ %d(R14), (F%d, F%d)", at, c, c+1)
			if min {
				a.f("FMOVS (R21), F%d", sum)
				a.f("ADD R20, R21")
			}
			for i := range 2 {
				a.v3("fmla", c+i, d+i, t.acc(r, v+i))
				if min {
					a.fmlaLane(c+i, m+i, sum, 0)
				}
			}
			a.f("FSTPQ (F%d, F%d), %d(R14)", c, c+1, at)
		}
	})
}

// neonMultiplies emits all tiles and lists them for Go.
func neonMultiplies(a *neonAsm) {
	table := func(name, kind string, bf16 bool) {
		fmt.Fprintf(&a.list.tables, "// %s by rows and by vectors of four columns.\nvar %s = [7][17]func(*neonArgs) uint64{\n", name, name)
		for mr := 1; mr <= 6; mr++ {
			fmt.Fprintf(&a.list.tables, "%d: {", mr)
			for _, s := range neonTiles {
				if s.mr == mr {
					fmt.Fprintf(&a.list.tables, "%d: %s, ", s.nv, neonTile{s.mr, s.nv, bf16}.name(kind))
				}
			}
			a.list.tables.WriteString("},\n")
		}
		a.list.tables.WriteString("}\n\n")
	}
	for _, s := range neonTiles {
		neonTile{s.mr, s.nv, false}.plain(a)
		t := neonTile{s.mr, s.nv, true}
		t.plain(a)
		t.block(a, false)
		t.block(a, true)
	}
	table("neonPlainF32", "", false)
	table("neonPlainBF16", "", true)
	table("neonScale", "Scale", true)
	table("neonScaleMin", "Min", true)
}

// Shapes of the outer tiles: rows of dst by vectors of four columns.
var neonOuterRows, neonOuterVecs = []int{1, 2, 4, 8}, []int{1, 3}

// neonOuters emits dst[mr, nv] += Σ_t a[t, mr] * b[t, nv]: R6 a, R3 b, both one
// row on with each t.
func neonOuters(a *neonAsm) {
	fmt.Fprintf(&a.list.tables, "// neonOuter by mode of the right side, vectors and rows.\nvar neonOuter = [2][4][9]func(*neonArgs) uint64{\n")
	for _, side := range []string{"BF16", "F32"} {
		fmt.Fprintf(&a.list.tables, "%s: {", side)
		for _, nv := range neonOuterVecs {
			fmt.Fprintf(&a.list.tables, "%d: {", nv)
			for _, mr := range neonOuterRows {
				name := fmt.Sprintf("neonOuter%s_%dx%d", side, mr, nv)
				neonOuter(a, name, side == "BF16", mr, nv)
				fmt.Fprintf(&a.list.tables, "%d: %s, ", mr, name)
			}
			a.list.tables.WriteString("},\n")
		}
		a.list.tables.WriteString("},\n")
	}
	a.list.tables.WriteString("}\n\n")
}

func neonOuter(a *neonAsm, name string, bf16 bool, mr, nv int) {
	a.begin(name, "neonArgs", true)
	a.args(nC, "R1", nLDC, "R2", nA, "R6", nLDA, "R7", nB, "R3", nLDB, "R4", nK, "R5")
	acc := func(r, v int) int { return r*nv + v }
	left, right := mr*nv, mr*nv+2
	walk := func(op string) {
		a.f("MOVD %d(%s), R1", nC, rArgs)
		for r := range mr {
			for v := range nv {
				if op == "load" {
					a.f("FMOVQ %d(R1), F%d", v*16, acc(r, v))
				} else {
					a.f("FMOVQ F%d, %d(R1)", acc(r, v), v*16)
				}
			}
			a.f("ADD R2, R1")
		}
	}
	walk("load")
	loop := a.newLabel("loop")
	a.label(loop)
	switch mr {
	case 8:
		a.f("FLDPQ (R6), (F%d, F%d)", left, left+1)
	default:
		a.f("%s (R6), F%d", map[int]string{1: "FMOVS", 2: "FMOVD", 4: "FMOVQ"}[mr], left)
	}
	for v := range nv {
		if bf16 {
			a.f("FMOVD %d(R3), F%d", v*8, right+v)
			a.v2("shll", right+v, right+v)
		} else {
			a.f("FMOVQ %d(R3), F%d", v*16, right+v)
		}
	}
	for r := range mr {
		for v := range nv {
			a.fmlaLane(acc(r, v), right+v, left+r/4, r%4)
		}
	}
	a.f("ADD R7, R6")
	a.f("ADD R4, R3")
	a.f("SUBS $1, R5, R5")
	a.f("BNE %s", loop)
	a.end(func() { walk("store") })
}
