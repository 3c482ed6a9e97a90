package main

import (
	"bytes"
	"fmt"
	"math"
)

// rowISA writes operations on virtual registers of 16 f32: one ZMM register,
// or two YMM registers of which the first holds lanes 0-7.
type rowISA struct {
	name   string
	halves int
}

var (
	rowsZ = rowISA{"F32x16", 1}
	rowsY = rowISA{"F32x8", 2}
)

// Offsets in rowArgs; a test checks them against the Go type.
const (
	rowDst, rowDst2, rowP0, rowP1, rowP2 = 0, 8, 16, 24, 32
	rowN, rowS0, rowS1, rowLanes         = 40, 48, 52, 56
)

// Virtual registers. exp needs the first five.
const (
	vX, vT, vN, vR, vP, vU, vL, vS = 0, 1, 2, 3, 4, 5, 6, 7
)

// loc is a virtual register or a place in memory.
type loc struct {
	reg  int
	base string // memory if not empty
	off  int
}

func reg(r int) loc       { return loc{reg: r} }
func mem(base string) loc { return loc{base: base} }
func constant(i int) loc  { return loc{base: "rowConst<>", off: i * 64} }

// at names half h of l.
func (i rowISA) at(l loc, h int) string {
	switch {
	case l.base == "rowConst<>":
		return fmt.Sprintf("rowConst%s<>+%d(SB)", i.name, l.off+32*h)
	case l.base != "":
		return fmt.Sprintf("%d(%s)", l.off+32*h, l.base)
	case i.halves == 1:
		return fmt.Sprintf("Z%d", l.reg)
	}
	return fmt.Sprintf("Y%d", 2*l.reg+h)
}

// op writes an instruction with its operands in Go's order (destination last).
func (i rowISA) op(a *asm, name string, locs ...loc) {
	for h := range i.halves {
		line := name
		for n, l := range locs {
			if n > 0 {
				line += ","
			}
			line += " " + i.at(l, h)
		}
		a.f("%s", line)
	}
}

// shift writes a shift by an immediate.
func (i rowISA) shift(a *asm, name string, bits int, src, dst loc) {
	i.op(a, fmt.Sprintf("%s $%d,", name, bits), src, dst)
}

// logic picks the EVEX spelling of an integer logical instruction.
func (i rowISA) logic(name string) string {
	if i.halves == 1 {
		return name + "D"
	}
	return name
}

func (i rowISA) broadcast(a *asm, off, r int) {
	for h := range i.halves {
		a.f("VBROADCASTSS %d(AX), %s", off, i.at(reg(r), h))
	}
}

// choose sets r to with where x cmp than (an immediate of VCMPPS). Uses vT.
func (i rowISA) choose(a *asm, cmp int, x, than, with loc, r int) {
	if i.halves == 1 {
		a.f("VCMPPS $%d, %s, %s, K1", cmp, i.at(than, 0), i.at(x, 0))
		a.f("VMOVUPS %s, K1, %s", i.at(with, 0), i.at(reg(r), 0))
		return
	}
	for h := range 2 {
		a.f("VCMPPS $%d, %s, %s, %s", cmp, i.at(than, h), i.at(x, h), i.at(reg(vT), h))
		a.f("VBLENDVPS %[1]s, %[2]s, %[3]s, %[3]s", i.at(reg(vT), h), i.at(with, h), i.at(reg(r), h))
	}
}

// Constants, 16 copies each.
const (
	cLog2e = iota
	cMagic
	cNegLn2Hi
	cNegLn2Lo
	cC0
	cC1
	cC2
	cC3
	cC4
	cC5
	cOne
	cLow
	cHigh
	cInf
	cZero
	cSign
	cHalfMask
	cRound
	cIntOne
	numConsts
)

func f32bits(f float32) uint32 { return math.Float32bits(f) }

var constBits = [numConsts]uint32{
	cLog2e: f32bits(1.44269504088896341), cMagic: f32bits(12582912),
	cNegLn2Hi: f32bits(-0.693359375), cNegLn2Lo: f32bits(2.12194440e-4),
	cC0: f32bits(1.9875691500e-4), cC1: f32bits(1.3981999507e-3), cC2: f32bits(8.3334519073e-3),
	cC3: f32bits(4.1665795894e-2), cC4: f32bits(1.6666665459e-1), cC5: f32bits(5.0000001201e-1),
	cOne: f32bits(1), cLow: f32bits(-87.3), cHigh: f32bits(88.72), cInf: 0x7f800000,
	cSign: 0x80000000, cHalfMask: 0xffff0000, cRound: 0x7fff, cIntOne: 1,
}

// exp sets vP to exp(vX): the operations of the package's exp32. Uses vT, vN, vR.
func (i rowISA) exp(a *asm) {
	x, t, n, r, p := reg(vX), reg(vT), reg(vN), reg(vR), reg(vP)
	i.op(a, "VMOVUPS", constant(cLog2e), t)
	i.op(a, "VFMADD213PS", constant(cMagic), x, t)
	i.op(a, "VSUBPS", constant(cMagic), t, n)
	i.op(a, "VMOVUPS", x, r)
	i.op(a, "VFMADD231PS", constant(cNegLn2Hi), n, r)
	i.op(a, "VFMADD231PS", constant(cNegLn2Lo), n, r)
	i.op(a, "VMOVUPS", constant(cC0), p)
	for c := cC1; c <= cC5; c++ {
		i.op(a, "VFMADD213PS", constant(c), r, p)
	}
	i.op(a, "VMULPS", r, r, n)
	i.op(a, "VFMADD213PS", r, n, p)
	i.op(a, "VADDPS", constant(cOne), p, p)
	i.shift(a, "VPSLLD", 23, t, t)
	i.op(a, "VPADDD", t, p, p)
	const ltOQ, gtOQ = 0x11, 0x1e
	i.choose(a, ltOQ, x, constant(cLow), constant(cZero), vP)
	i.choose(a, gtOQ, x, constant(cHigh), constant(cInf), vP)
}

// sigmoid sets vT to 1 / (1 + exp(-gate)), the gate at p0.
func (i rowISA) sigmoid(a *asm) {
	i.op(a, "VMOVUPS", mem("BX"), reg(vX))
	i.op(a, i.logic("VPXOR"), constant(cSign), reg(vX), reg(vX))
	i.exp(a)
	i.op(a, "VADDPS", constant(cOne), reg(vP), reg(vP))
	i.op(a, "VMOVUPS", constant(cOne), reg(vT))
	i.op(a, "VDIVPS", reg(vP), reg(vT), reg(vT))
}

// rowFunc emits a function that runs body on 16 values at a time. Pointers: DI
// dst, SI dst2, BX p0, R8 p1, R9 p2, DX lanes; dstBytes is a value's size at dst.
func (i rowISA) rowFunc(a *asm, name string, flush bool, dstBytes int, before, body, after func()) {
	a.begin(name+i.name, "rowArgs", flush)
	for _, p := range []struct {
		off int
		reg string
	}{{rowDst, "DI"}, {rowDst2, "SI"}, {rowP0, "BX"}, {rowP1, "R8"}, {rowP2, "R9"}, {rowN, "CX"}, {rowLanes, "DX"}} {
		a.f("MOVQ %d(AX), %s", p.off, p.reg)
	}
	if before != nil {
		before()
	}
	loop := a.newLabel("loop")
	a.label(loop)
	body()
	for _, r := range []string{"BX", "R8", "R9"} {
		a.f("ADDQ $64, %s", r)
	}
	a.f("ADDQ $%d, DI", 16*dstBytes)
	a.f("ADDQ $%d, SI", 16*dstBytes)
	a.f("SUBQ $16, CX")
	a.f("JNZ %s", loop)
	if after != nil {
		after()
	}
	a.end()
}

// rows emits the row functions that do not round to bf16.
func rows(a *asm, i rowISA) {
	x, p, l, s := reg(vX), reg(vP), reg(vL), reg(vS)
	dst, p0, p1, p2 := mem("DI"), mem("BX"), mem("R8"), mem("R9")
	loadLanes := func() { i.op(a, "VMOVUPS", mem("DX"), l) }
	storeLanes := func() { i.op(a, "VMOVUPS", l, mem("DX")) }
	loadS0 := func() { i.broadcast(a, rowS0, vS) }

	i.rowFunc(a, "rowDot", true, 0, loadLanes, func() {
		i.op(a, "VMOVUPS", p0, x)
		i.op(a, "VFMADD231PS", p1, x, l)
	}, storeLanes)
	i.rowFunc(a, "rowDot3", true, 0, loadLanes, func() {
		i.op(a, "VMOVUPS", p0, x)
		i.op(a, "VMULPS", p1, x, x)
		i.op(a, "VFMADD231PS", p2, x, l)
	}, storeLanes)
	i.rowFunc(a, "rowMax", false, 0, loadLanes, func() {
		i.op(a, "VMOVUPS", p0, x)
		i.op(a, "VMAXPS", l, x, l) // x > l ? x : l
	}, storeLanes)
	i.rowFunc(a, "rowAdd", true, 4, nil, func() {
		i.op(a, "VMOVUPS", dst, x)
		i.op(a, "VADDPS", p0, x, x)
		i.op(a, "VMOVUPS", x, dst)
	}, nil)
	i.rowFunc(a, "rowScale", true, 4, loadS0, func() {
		i.op(a, "VMULPS", dst, s, x)
		i.op(a, "VMOVUPS", x, dst)
	}, nil)
	i.rowFunc(a, "rowAxpy", true, 4, loadS0, func() {
		i.op(a, "VMOVUPS", dst, x)
		i.op(a, "VFMADD231PS", p0, s, x)
		i.op(a, "VMOVUPS", x, dst)
	}, nil)
	i.rowFunc(a, "rowExp", true, 4, nil, func() {
		i.op(a, "VMOVUPS", p0, x)
		i.exp(a)
		i.op(a, "VMOVUPS", p, dst)
	}, nil)
	i.rowFunc(a, "rowExpSub", true, 4, func() { loadS0(); loadLanes() }, func() {
		i.op(a, "VMOVUPS", p0, x)
		i.op(a, "VSUBPS", s, x, x)
		i.exp(a)
		i.op(a, "VMOVUPS", p, dst)
		i.op(a, "VADDPS", p, l, l)
	}, storeLanes)
	i.rowFunc(a, "rowExpScale", true, 4, loadS0, func() {
		i.expScale(a)
		i.op(a, "VMOVUPS", x, dst)
	}, nil)
	i.layerRows(a)
	i.rope(a, "rope"+i.name, 4, func(r int, base string) { i.op(a, "VMOVUPS", reg(r), mem(base)) })
	i.adam(a)
	i.headDots(a)
	i.scaleRows(a)
	i.widen(a)
	i.dotBF16(a)
	i.blockSums(a)
	a.f("")
	for c, bits := range constBits {
		for o := 0; o < 64; o += 8 {
			a.f("DATA rowConst%s<>+%d(SB)/8, $0x%08x%08x", i.name, c*64+o, bits, bits)
		}
	}
	a.f("GLOBL rowConst%s<>(SB), RODATA|NOPTR, $%d", i.name, numConsts*64)
}

// layerRows emits the functions of norms, SwiGLU and softmax's backward pass.
func (i rowISA) layerRows(a *asm) {
	x, s, u := reg(vX), reg(vS), reg(vU)
	dst, dst2, p0, p1, p2 := mem("DI"), mem("SI"), mem("BX"), mem("R8"), mem("R9")
	loadS0 := func() { i.broadcast(a, rowS0, vS) }

	i.rowFunc(a, "rowNorm", true, 4, loadS0, func() {
		i.norm(a)
		i.op(a, "VMOVUPS", x, dst)
	}, nil)
	i.rowFunc(a, "rowNormBack", true, 4, func() {
		loadS0()
		i.broadcast(a, rowS1, vU)
		i.op(a, i.logic("VPXOR"), constant(cSign), u, u)
	}, func() {
		i.op(a, "VMOVUPS", p0, x)
		i.op(a, "VMULPS", p1, x, x)
		i.op(a, "VMULPS", s, x, x)
		i.op(a, "VFMADD231PS", p2, u, x)
		i.op(a, "VADDPS", dst, x, x)
		i.op(a, "VMOVUPS", x, dst)
	}, nil)
	i.rowFunc(a, "rowSoftmaxBack", true, 4, func() {
		loadS0()
		i.broadcast(a, rowS1, vU)
	}, func() {
		i.op(a, "VMOVUPS", dst, x)
		i.op(a, "VSUBPS", s, x, x)
		i.op(a, "VMULPS", p0, x, x)
		i.op(a, "VMULPS", u, x, x)
		i.op(a, "VMOVUPS", x, dst)
	}, nil)
	i.rowFunc(a, "rowSwiGLU", true, 4, nil, func() {
		i.swiGLU(a)
		i.op(a, "VMOVUPS", reg(vT), dst)
	}, nil)
	i.rowFunc(a, "rowSwiGLUBack", true, 4, nil, func() {
		i.swiGLUBack(a)
		i.op(a, "VMOVUPS", x, dst)
		i.op(a, "VMOVUPS", reg(vR), dst2)
	}, nil)
}

// expScale sets vX to exp(p0-s0)*s1, s0 in vS.
func (i rowISA) expScale(a *asm) {
	i.op(a, "VMOVUPS", mem("BX"), reg(vX))
	i.op(a, "VSUBPS", reg(vS), reg(vX), reg(vX))
	i.exp(a)
	i.broadcast(a, rowS1, vX)
	i.op(a, "VMULPS", reg(vP), reg(vX), reg(vX))
}

// norm sets vX to (p0*s0)*p1.
func (i rowISA) norm(a *asm) {
	i.op(a, "VMULPS", mem("BX"), reg(vS), reg(vX))
	i.op(a, "VMULPS", mem("R8"), reg(vX), reg(vX))
}

// swiGLU sets vT to silu(p0)*p1.
func (i rowISA) swiGLU(a *asm) {
	i.sigmoid(a)
	i.op(a, "VMULPS", mem("BX"), reg(vT), reg(vT))
	i.op(a, "VMULPS", mem("R8"), reg(vT), reg(vT))
}

// swiGLUBack sets vX to the gate's and vR to the up's gradient.
func (i rowISA) swiGLUBack(a *asm) {
	s, silu, slope, d, x := reg(vT), reg(vN), reg(vP), reg(vR), reg(vX)
	i.sigmoid(a)
	i.op(a, "VMULPS", mem("BX"), s, silu)
	i.op(a, "VMOVUPS", constant(cOne), slope)
	i.op(a, "VSUBPS", s, slope, slope)
	i.op(a, "VFMADD213PS", s, silu, slope)
	i.op(a, "VMOVUPS", mem("R9"), d)
	i.op(a, "VMULPS", mem("R8"), d, x)
	i.op(a, "VMULPS", slope, x, x)
	i.op(a, "VMULPS", silu, d, d)
}

// dotBF16 is rowDot with bf16 at p1.
func (i rowISA) dotBF16(a *asm) {
	a.begin("rowDotBF16"+i.name, "rowArgs", true)
	a.f("MOVQ %d(AX), BX", rowP0)
	a.f("MOVQ %d(AX), R8", rowP1)
	a.f("MOVQ %d(AX), CX", rowN)
	a.f("MOVQ %d(AX), DX", rowLanes)
	i.op(a, "VMOVUPS", mem("DX"), reg(vL))
	loop := a.newLabel("loop")
	a.label(loop)
	for h := range i.halves {
		a.f("VPMOVZXWD %d(R8), %s", 16*h, i.at(reg(vX), h))
	}
	i.shift(a, "VPSLLD", 16, reg(vX), reg(vX))
	i.op(a, "VFMADD231PS", mem("BX"), reg(vX), reg(vL))
	a.f("ADDQ $64, BX")
	a.f("ADDQ $32, R8")
	a.f("SUBQ $16, CX")
	a.f("JNZ %s", loop)
	i.op(a, "VMOVUPS", reg(vL), mem("DX"))
	a.end()
}

// blockSums adds each 32 bf16 at p0 into one f32 at dst.
func (i rowISA) blockSums(a *asm) {
	a.begin("rowBlockSums"+i.name, "rowArgs", true)
	a.f("MOVQ %d(AX), DI", rowDst)
	a.f("MOVQ %d(AX), BX", rowP0)
	a.f("MOVQ %d(AX), CX", rowN)
	loop := a.newLabel("loop")
	a.label(loop)
	x, t := reg(vX), reg(vT)
	i.op(a, "VMOVUPS", mem("BX"), x)
	i.op(a, i.logic("VPAND"), constant(cHalfMask), x, t)
	i.shift(a, "VPSLLD", 16, x, x)
	i.op(a, "VADDPS", x, t, x)
	if i.halves == 1 {
		a.f("VEXTRACTF64X4 $1, Z0, Y1")
	}
	a.f("VADDPS Y1, Y0, Y0")
	a.f("VEXTRACTF128 $1, Y0, X1")
	a.f("VADDPS X1, X0, X0")
	a.f("VPERMILPS $0x0e, X0, X1")
	a.f("VADDPS X1, X0, X0")
	a.f("VPERMILPS $0x01, X0, X1")
	a.f("VADDSS X1, X0, X0")
	a.f("VMOVSS X0, (DI)")
	a.f("ADDQ $64, BX")
	a.f("ADDQ $4, DI")
	a.f("SUBQ $32, CX")
	a.f("JNZ %s", loop)
	a.end()
}

// rounder stores a virtual register as 16 bf16.
type rounder struct {
	isa  rowISA
	name string
	// store rounds r to memory at base; it may use vL and vU.
	store func(a *asm, r int, base string)
}

var (
	roundBF16 = rounder{rowsZ, "BF16x16", func(a *asm, r int, base string) {
		a.cvtbf16(r, vL)
		a.f("VMOVUPS Y%d, (%s)", vL, base)
	}}
	roundZ = rounder{rowsZ, "IntF32x16", func(a *asm, r int, base string) {
		roundInt(a, rowsZ, r)
		a.f("VPMOVDW Z%d, (%s)", vL, base)
	}}
	roundY = rounder{rowsY, "IntF32x8", func(a *asm, r int, base string) {
		roundInt(a, rowsY, r)
		a.f("VPACKUSDW Y%d, Y%d, Y%d", 2*vL+1, 2*vL, 2*vL)
		a.f("VPERMQ $0xd8, Y%d, Y%d", 2*vL, 2*vL)
		a.f("VMOVUPS Y%d, (%s)", 2*vL, base)
	}}
)

// roundInt sets vL's 32-bit lanes to bf16 of r: nearest even by integers, with
// subnormals flushed by a multiply with one and NaN kept. Uses vU.
func roundInt(a *asm, i rowISA, r int) {
	x, l, u := reg(r), reg(vL), reg(vU)
	i.op(a, "VMULPS", constant(cOne), x, x)
	i.shift(a, "VPSRLD", 16, x, l)
	i.op(a, i.logic("VPAND"), constant(cIntOne), l, l)
	i.op(a, "VPADDD", constant(cRound), l, l)
	i.op(a, "VPADDD", x, l, l)
	const unord = 3
	if i.halves == 1 {
		a.f("VCMPPS $%d, Z%[2]d, Z%[2]d, K1", unord, r)
		a.f("VMOVUPS Z%d, K1, Z%d", r, vL)
	} else {
		i.op(a, fmt.Sprintf("VCMPPS $%d,", unord), x, x, u)
		for h := range 2 {
			a.f("VBLENDVPS %[1]s, %[2]s, %[3]s, %[3]s", i.at(u, h), i.at(x, h), i.at(l, h))
		}
	}
	i.shift(a, "VPSRLD", 16, l, l)
}

// rounding emits the row functions that round to bf16.
func rounding(a *asm, rd rounder) {
	i := rd.isa
	name := i.name
	i.name = rd.name
	emit := func(fn string, before, body func()) { i.rowFunc(a, fn, true, 2, before, body, nil) }
	k := rowISA{name, i.halves} // constants keep their ISA's table
	emit("rowRound", nil, func() {
		k.op(a, "VMOVUPS", mem("BX"), reg(vX))
		rd.store(a, vX, "DI")
	})
	emit("rowNorm", func() { k.broadcast(a, rowS0, vS) }, func() {
		k.norm(a)
		rd.store(a, vX, "DI")
	})
	emit("rowExpScale", func() { k.broadcast(a, rowS0, vS) }, func() {
		k.expScale(a)
		rd.store(a, vX, "DI")
	})
	k.rope(a, "rope"+rd.name, 2, func(r int, base string) { rd.store(a, r, base) })
	emit("rowSwiGLU", nil, func() {
		k.swiGLU(a)
		rd.store(a, vT, "DI")
	})
	emit("rowSwiGLUBack", nil, func() {
		k.swiGLUBack(a)
		rd.store(a, vX, "DI")
		rd.store(a, vR, "SI")
	})
}

// rowTables lists the row functions for Go.
func rowTables(b *bytes.Buffer) {
	table := func(name string, i rowISA, round string) {
		fmt.Fprintf(b, "var %s = [numRowOps]func(*rowArgs){\n", name)
		for _, op := range []string{"Dot", "Dot3", "Max", "Add", "Scale", "Axpy", "Exp", "ExpSub", "Norm", "NormBack", "SoftmaxBack", "SwiGLU", "SwiGLUBack", "DotBF16", "BlockSums", "ExpScale", "Widen"} {
			fmt.Fprintf(b, "op%s: row%s%s,\n", op, op, i.name)
		}
		for _, op := range []string{"Norm", "SwiGLU", "SwiGLUBack", "ExpScale"} {
			fmt.Fprintf(b, "op%sBF16: row%s%s,\n", op, op, round)
		}
		fmt.Fprintf(b, "opRound: rowRound%s,\n}\n\n", round)
	}
	table("rowsBF16x16", rowsZ, roundBF16.name)
	table("rowsF32x16", rowsZ, roundZ.name)
	table("rowsF32x8", rowsY, roundY.name)
}
