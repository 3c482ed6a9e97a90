package main

import (
	"bytes"
	"fmt"
)

// flavour is a way to multiply in a register tile.
type flavour struct {
	name    string
	reg     string // register prefix
	bytes   int    // of a vector
	maxRows []int  // by vectors per tile: the tallest tile
	maxVecs int
	regs    int
	steps   int // multiply steps per block of 32: 16 pairs or 32 values
}

var (
	// One step of dp takes a pair of bf16 from each side.
	dp = flavour{name: "BF16", reg: "Z", bytes: 64, maxRows: []int{0, 16, 12, 8, 6}, maxVecs: 4, regs: 32, steps: 16}
	// One step of the f32 flavours takes one value.
	z32 = flavour{name: "F32x16", reg: "Z", bytes: 64, maxRows: []int{0, 16, 12, 8, 6}, maxVecs: 4, regs: 32, steps: 32}
	y32 = flavour{name: "F32x8", reg: "Y", bytes: 32, maxRows: []int{0, 0, 6}, maxVecs: 2, regs: 16, steps: 32}
)

// vecs are the tile widths of a flavour, in vectors.
func (fl flavour) vecs() []int {
	if fl.maxVecs == 2 {
		return []int{2}
	}
	return []int{1, 2, 3, 4}
}

// heights are the tile heights for nv vectors: rows are cut greedily.
func (fl flavour) heights(nv int) []int {
	if nv == fl.maxVecs {
		return []int{1, 2, 3, 4, 5, 6}
	}
	h := []int{1, 2, 3, 4} // 3: the heads that share a key-value head, in many families
	if fl.maxRows[nv] > 8 {
		h = append(h, 8)
	}
	return append(h, fl.maxRows[nv])
}

func (fl flavour) tileName(mr, nv int) string { return fmt.Sprintf("tile%s_%dx%d", fl.name, mr, nv) }
func (fl flavour) blockName(sc scales, mr int) string {
	return fmt.Sprintf("tile%s%s_%d", sc.name(), fl.name, mr)
}

// scales is how a quantised panel's scales are kept: f16 beside the codes of a
// block of 32, or f32 in scratch memory (wide), for blocks of any length.
type scales struct{ min, wide bool }

var allScales = []scales{{}, {min: true}, {wide: true}, {min: true, wide: true}}

func (sc scales) name() string {
	name := "Scale"
	if sc.min {
		name = "Min"
	}
	if sc.wide {
		name += "Wide"
	}
	return name
}

// load loads vector v (bytes long) of the block's scales at base, or of its
// minima, to reg.
func (sc scales) load(a *asm, base, reg string, bytes, v int, min bool) {
	if sc.wide {
		off := v * bytes
		if min {
			off += 256
		}
		a.f("VMOVUPS %d(%s), %s", off, base, reg)
		return
	}
	off := v * bytes / 2
	if min {
		off += 128
	}
	a.f("VCVTPH2PS %d(%s), %s", off, base, reg)
}

// Offsets in tileArgs; a test checks them against the Go type.
const (
	argC, argLDC, argA, argLDA, argB, argLDB   = 0, 8, 16, 24, 32, 40
	argK, argScale, argLDS, argSums, argLDSums = 48, 56, 64, 72, 80
	argZero, argTable, argLoops                = 88, 96, 104
	argAhead, argLimit                         = 112, 120
	argAhead2, argLimit2, argShift, argQueue   = 128, 136, 144, 152
)

// Registers: DI/R13.. destination rows, SI R10 R11 R12 rows of a in groups of
// four, R8 and R9 one and three row strides of a, BX b, DX its step, CX count.
var aBase = []string{"SI", "R10", "R11", "R12"}

// loadA sets the row registers of a for mr rows.
func loadA(a *asm, mr int) {
	a.f("MOVQ %d(AX), SI", argA)
	a.f("MOVQ %d(AX), R8", argLDA)
	a.f("LEAQ (R8)(R8*2), R9")
	for g := 1; g*4 < mr; g++ {
		a.f("LEAQ (%s)(R8*4), %s", aBase[g-1], aBase[g])
	}
}

// rowAt is the address of row r of a plus off bytes.
func rowAt(r, off int) string {
	b := aBase[r/4]
	switch r % 4 {
	case 1:
		return fmt.Sprintf("%d(%s)(R8*1)", off, b)
	case 2:
		return fmt.Sprintf("%d(%s)(R8*2)", off, b)
	case 3:
		return fmt.Sprintf("%d(%s)(R9*1)", off, b)
	}
	return fmt.Sprintf("%d(%s)", off, b)
}

func advanceA(a *asm, mr, bytes int) {
	for g := 0; g*4 < mr; g++ {
		a.f("ADDQ $%d, %s", bytes, aBase[g])
	}
}

// step multiplies one step: B vectors at boff(BX), row values at aoff.
func (fl flavour) step(a *asm, mr, nv, aoff, boff int) {
	b0 := mr * nv
	for v := range nv {
		a.f("VMOVUPS %d(BX), %s%d", boff+v*fl.bytes, fl.reg, b0+v)
	}
	spare := fl.regs - b0 - nv // broadcast registers, used in turn
	for r := range mr {
		x := b0 + nv + r%min(spare, 2)
		if fl.steps == 16 {
			a.f("VPBROADCASTD %s, Z%d", rowAt(r, aoff), x)
		} else {
			a.f("VBROADCASTSS %s, %s%d", rowAt(r, aoff), fl.reg, x)
		}
		for v := range nv {
			if fl.steps == 16 {
				a.dpbf16(b0+v, x, r*nv+v)
			} else {
				a.f("VFMADD231PS %s%d, %s%d, %s%d", fl.reg, b0+v, fl.reg, x, fl.reg, r*nv+v)
			}
		}
	}
}

func (fl flavour) zero(a *asm, count int) {
	op := "VPXORD"
	if fl.reg == "Y" {
		op = "VPXOR"
	}
	for i := range count {
		a.f("%s %[2]s%[3]d, %[2]s%[3]d, %[2]s%[3]d", op, fl.reg, i)
	}
}

// eachC walks the destination's rows: DI is the row when emit is called.
func (fl flavour) eachC(a *asm, mr int, emit func(r int)) {
	a.f("MOVQ %d(AX), DI", argC)
	for r := range mr {
		emit(r)
		if r < mr-1 {
			a.f("ADDQ R15, DI")
		}
	}
}

// tile emits c[mr, nv vectors] (+)= a·b over any number of steps.
func (fl flavour) tile(a *asm, mr, nv int) {
	const unroll = 4
	a.begin(fl.tileName(mr, nv), "tileArgs", fl.steps == 32)
	loadA(a, mr)
	a.f("MOVQ %d(AX), BX", argB)
	a.f("MOVQ %d(AX), DX", argLDB)
	a.f("MOVQ %d(AX), CX", argK)
	a.f("MOVQ %d(AX), R15", argLDC)
	zero, loop, tail, one, done := a.newLabel("zero"), a.newLabel("loop"), a.newLabel("tail"), a.newLabel("one"), a.newLabel("done")
	a.f("CMPQ %d(AX), $0", argZero)
	a.f("JNE %s", zero)
	fl.eachC(a, mr, func(r int) {
		for v := range nv {
			a.f("VMOVUPS %d(DI), %s%d", v*fl.bytes, fl.reg, r*nv+v)
		}
	})
	a.f("JMP %s", tail)
	a.label(zero)
	fl.zero(a, mr*nv)
	a.f("JMP %s", tail)
	a.label(loop)
	for u := range unroll {
		if mr <= 4 && fl.steps == 16 {
			prefetch(a, nv*fl.bytes) // few rows: b comes from memory
		}
		fl.step(a, mr, nv, u*4, 0)
		a.f("ADDQ DX, BX")
	}
	advanceA(a, mr, unroll*4)
	a.label(tail)
	a.f("SUBQ $%d, CX", unroll)
	a.f("JGE %s", loop)
	a.f("ADDQ $%d, CX", unroll)
	a.f("JZ %s", done)
	a.label(one)
	fl.step(a, mr, nv, 0, 0)
	a.f("ADDQ DX, BX")
	advanceA(a, mr, 4)
	a.f("DECQ CX")
	a.f("JNZ %s", one)
	a.label(done)
	fl.eachC(a, mr, func(r int) {
		for v := range nv {
			a.f("VMOVUPS %s%d, %d(DI)", fl.reg, r*nv+v, v*fl.bytes)
		}
	})
	a.end()
}

// blockTile emits the tile of a quantised panel whose codes are decoded: for
// each block of 32 k, s = chain from 0 over the codes; c = fma(d, s, c), then
// with min c = fma(m, sum, c). c stays in memory: a block is long enough to
// hide it. Wide scales go with blocks of any multiple of 4 steps (argLoops).
func (fl flavour) blockTile(a *asm, mr int, sc scales) {
	const unroll = 4
	nv := fl.maxVecs
	step := 64 * 4 // a step of b: one pair or value of 64 columns
	a.begin(fl.blockName(sc, mr), "tileArgs", true)
	loadA(a, mr)
	a.f("MOVQ %d(AX), BX", argB)
	a.f("MOVQ %d(AX), R15", argLDC)
	a.f("MOVQ %d(AX), DX", argScale)
	if sc.min {
		a.f("MOVQ %d(AX), R13", argSums)
	}
	block, loop := a.newLabel("block"), a.newLabel("loop")
	fl.clearC(a, mr, nv)
	a.label(block)
	fl.zero(a, mr*nv)
	if sc.wide {
		a.f("MOVQ %d(AX), CX", argLoops)
	} else {
		a.f("MOVQ $%d, CX", fl.steps/unroll)
	}
	a.label(loop)
	for u := range unroll {
		fl.step(a, mr, nv, u*4, u*step)
	}
	advanceA(a, mr, unroll*4)
	a.f("ADDQ $%d, BX", unroll*step)
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	fl.scaleBlock(a, mr, nv, sc)
	a.f("ADDQ %d(AX), DX", argLDS)
	if sc.min {
		a.f("ADDQ $4, R13")
	}
	a.f("DECQ %d(AX)", argK)
	a.f("JNZ %s", block)
	a.end()
}

// clearC stores zeros to the destination unless it is to be continued.
func (fl flavour) clearC(a *asm, mr, nv int) {
	skip := a.newLabel("keep")
	a.f("CMPQ %d(AX), $0", argZero)
	a.f("JEQ %s", skip)
	fl.zero(a, 1)
	fl.eachC(a, mr, func(int) {
		for v := range nv {
			a.f("VMOVUPS %s0, %d(DI)", fl.reg, v*fl.bytes)
		}
	})
	a.label(skip)
}

// scaleBlock adds the block sums in registers to c: DX points at the block's
// f16 scales (minima 128 bytes on), R13 at the first row's sum of this block.
func (fl flavour) scaleBlock(a *asm, mr, nv int, sc scales) {
	min := sc.min
	d, m := mr*nv, mr*nv+nv
	if fl.reg == "Y" { // 16 registers: one vector of scales at a time
		d, m = mr*nv, mr*nv+1
		for v := range nv {
			sc.load(a, "DX", sprint("Y%d", d), fl.bytes, v, false)
			fl.eachC(a, mr, func(r int) {
				a.f("VFMADD213PS %d(DI), Y%d, Y%d", v*32, d, r*nv+v)
				if !min {
					a.f("VMOVUPS Y%d, %d(DI)", r*nv+v, v*32)
				}
			})
			if !min {
				continue
			}
			sc.load(a, "DX", sprint("Y%d", d), fl.bytes, v, true)
			a.f("MOVQ R13, CX")
			fl.eachC(a, mr, func(r int) {
				a.f("VBROADCASTSS (CX), Y%d", m)
				a.f("VFMADD231PS Y%d, Y%d, Y%d", m, d, r*nv+v)
				a.f("VMOVUPS Y%d, %d(DI)", r*nv+v, v*32)
				a.f("ADDQ %d(AX), CX", argLDSums)
			})
		}
		return
	}
	for v := range nv {
		sc.load(a, "DX", sprint("Z%d", d+v), fl.bytes, v, false)
	}
	if !min {
		fl.eachC(a, mr, func(r int) {
			for v := range nv {
				a.f("VFMADD213PS %d(DI), Z%d, Z%d", v*64, d+v, r*nv+v)
				a.f("VMOVUPS Z%d, %d(DI)", r*nv+v, v*64)
			}
		})
		return
	}
	fl.eachC(a, mr, func(r int) {
		for v := range nv {
			a.f("VFMADD213PS %d(DI), Z%d, Z%d", v*64, d+v, r*nv+v)
		}
	})
	for v := range nv { // the scales are done with: their registers take the minima
		sc.load(a, "DX", sprint("Z%d", d+v), fl.bytes, v, true)
	}
	a.f("MOVQ R13, CX")
	fl.eachC(a, mr, func(r int) {
		a.f("VBROADCASTSS (CX), Z%d", m)
		for v := range nv {
			a.f("VFMADD231PS Z%d, Z%d, Z%d", m, d+v, r*nv+v)
			a.f("VMOVUPS Z%d, %d(DI)", r*nv+v, v*64)
		}
		if r < mr-1 {
			a.f("ADDQ %d(AX), CX", argLDSums)
		}
	})
}

// tiles emits all tiles of a flavour.
func tiles(a *asm, fl flavour) {
	for _, nv := range fl.vecs() {
		for _, mr := range fl.heights(nv) {
			fl.tile(a, mr, nv)
		}
	}
	for mr := 1; mr <= 6; mr++ {
		for _, sc := range allScales {
			fl.blockTile(a, mr, sc)
		}
	}
}

// tileTables lists a flavour's tiles for Go.
func tileTables(b *bytes.Buffer, fl flavour) {
	fmt.Fprintf(b, "// tiles%s by vectors, then by rows; nil where there is none.\nvar tiles%s = tileSet{\n\tplain: [5][17]func(*tileArgs){\n", fl.name, fl.name)
	for _, nv := range fl.vecs() {
		fmt.Fprintf(b, "%d: {", nv)
		for _, mr := range fl.heights(nv) {
			fmt.Fprintf(b, "%d: %s, ", mr, fl.tileName(mr, nv))
		}
		b.WriteString("},\n")
	}
	b.WriteString("},\n")
	for i, sc := range allScales {
		fmt.Fprintf(b, "%s: [7]func(*tileArgs){", []string{"scale", "scaleMin", "wide", "wideMin"}[i])
		for mr := 1; mr <= 6; mr++ {
			fmt.Fprintf(b, "%d: %s, ", mr, fl.blockName(sc, mr))
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n\n")
}
