package main

// Offsets in ropeArgs and adamArgs; a test checks them against the Go types.
const (
	ropeDst, ropeSrc, ropeCos, ropeSin = 0, 8, 16, 24
	ropeHeads, ropeVectors, ropeSign   = 32, 40, 48
	adamP, adamM, adamV, adamG, adamN  = 0, 8, 16, 24, 32
	adamDecay, adamOneMinusB1, adamB2  = 40, 40 + 64, 40 + 128
	adamOneMinusB2, adamRoot, adamEps  = 40 + 192, 40 + 256, 40 + 320
	adamStep                           = 40 + 384
)

// rope turns the heads of one row by cos and sign*sin: with x and y a head's
// halves, x cos - y sin and y cos + x sin. dstBytes is a value's size at dst.
func (i rowISA) rope(a *asm, name string, dstBytes int, store func(r int, base string)) {
	a.begin(name, "ropeArgs", true)
	for _, p := range []struct {
		off int
		reg string
	}{{ropeDst, "DI"}, {ropeSrc, "BX"}, {ropeCos, "R8"}, {ropeSin, "R9"}, {ropeHeads, "CX"}, {ropeVectors, "DX"}} {
		a.f("MOVQ %d(AX), %s", p.off, p.reg)
	}
	i.broadcast(a, ropeSign, vS)
	a.f("MOVQ DX, R10")
	a.f("SHLQ $6, R10") // bytes of half a head
	a.f("MOVQ DX, R11")
	a.f("IMULQ $%d, R11", 16*dstBytes)
	head, vec := a.newLabel("head"), a.newLabel("vector")
	x, y, c, s, t, u := reg(vX), reg(vT), reg(vN), reg(vR), reg(vP), reg(vL)
	a.label(head)
	a.f("MOVQ R8, R12")
	a.f("MOVQ R9, R13")
	a.f("MOVQ DX, SI")
	a.label(vec)
	i.op(a, "VMOVUPS", mem("BX"), x)
	i.op(a, "VMOVUPS", mem("BX)(R10*1"), y)
	i.op(a, "VMOVUPS", mem("R12"), c)
	i.op(a, "VMULPS", mem("R13"), reg(vS), s)
	i.op(a, "VMULPS", c, x, t)
	i.op(a, "VMULPS", s, y, u)
	i.op(a, "VSUBPS", u, t, t)
	i.op(a, "VMULPS", s, x, x)
	i.op(a, "VMULPS", c, y, y)
	i.op(a, "VADDPS", x, y, x)
	store(vP, "DI")
	store(vX, "DI)(R11*1")
	a.f("ADDQ $64, BX")
	a.f("ADDQ $64, R12")
	a.f("ADDQ $64, R13")
	a.f("ADDQ $%d, DI", 16*dstBytes)
	a.f("DECQ SI")
	a.f("JNZ %s", vec)
	a.f("ADDQ R10, BX")
	a.f("ADDQ R11, DI")
	a.f("DECQ CX")
	a.f("JNZ %s", head)
	a.end()
}

// adam updates n values, a multiple of 16, with PyTorch's operations: no fused
// multiply-adds, subnormals kept.
func (i rowISA) adam(a *asm) {
	a.begin("adam"+i.name, "adamArgs", false)
	for _, p := range []struct {
		off int
		reg string
	}{{adamP, "DI"}, {adamM, "SI"}, {adamV, "BX"}, {adamG, "R8"}, {adamN, "CX"}} {
		a.f("MOVQ %d(AX), %s", p.off, p.reg)
	}
	k := func(off int) loc { return loc{base: "AX", off: off} }
	p, m, v, g, t := reg(vX), reg(vT), reg(vN), reg(vR), reg(vP)
	loop := a.newLabel("loop")
	a.label(loop)
	i.op(a, "VMOVUPS", mem("R8"), g)
	i.op(a, "VMOVUPS", mem("SI"), m)
	i.op(a, "VSUBPS", m, g, t)
	i.op(a, "VMULPS", k(adamOneMinusB1), t, t)
	i.op(a, "VADDPS", t, m, m) // m + (1-b1)(g-m)
	i.op(a, "VMOVUPS", m, mem("SI"))
	i.op(a, "VMOVUPS", mem("BX"), v)
	i.op(a, "VMULPS", k(adamB2), v, v)
	i.op(a, "VMULPS", k(adamOneMinusB2), g, t)
	i.op(a, "VMULPS", g, t, t)
	i.op(a, "VADDPS", t, v, v) // v b2 + ((1-b2) g) g
	i.op(a, "VMOVUPS", v, mem("BX"))
	i.op(a, "VSQRTPS", v, v)
	i.op(a, "VDIVPS", k(adamRoot), v, v)
	i.op(a, "VADDPS", k(adamEps), v, v)
	i.op(a, "VMULPS", k(adamStep), m, m)
	i.op(a, "VDIVPS", v, m, m)
	i.op(a, "VMOVUPS", mem("DI"), p)
	i.op(a, "VMULPS", k(adamDecay), p, p)
	i.op(a, "VADDPS", m, p, p)
	i.op(a, "VMOVUPS", p, mem("DI"))
	for _, r := range []string{"DI", "SI", "BX", "R8"} {
		a.f("ADDQ $64, %s", r)
	}
	a.f("SUBQ $16, CX")
	a.f("JNZ %s", loop)
	a.end()
}

// widen turns n bf16 at p0 into f32 at dst.
func (i rowISA) widen(a *asm) {
	a.begin("rowWiden"+i.name, "rowArgs", false)
	a.f("MOVQ %d(AX), DI", rowDst)
	a.f("MOVQ %d(AX), BX", rowP0)
	a.f("MOVQ %d(AX), CX", rowN)
	loop := a.newLabel("loop")
	a.label(loop)
	for h := range i.halves {
		a.f("VPMOVZXWD %d(BX), %s", 16*h, i.at(reg(vX), h))
	}
	i.shift(a, "VPSLLD", 16, reg(vX), reg(vX))
	i.op(a, "VMOVUPS", reg(vX), mem("DI"))
	a.f("ADDQ $32, BX")
	a.f("ADDQ $64, DI")
	a.f("SUBQ $16, CX")
	a.f("JNZ %s", loop)
	a.end()
}

// headDots sums src times bf16 cos over each head of vectors x 16 values, one
// f32 at dst a head: 16 lanes, then the package's tree.
func (i rowISA) headDots(a *asm) {
	a.begin("headDots"+i.name, "ropeArgs", true)
	for _, p := range []struct {
		off int
		reg string
	}{{ropeDst, "DI"}, {ropeSrc, "BX"}, {ropeCos, "R8"}, {ropeHeads, "CX"}, {ropeVectors, "DX"}} {
		a.f("MOVQ %d(AX), %s", p.off, p.reg)
	}
	head, vec := a.newLabel("head"), a.newLabel("vector")
	sum, x := reg(vX), reg(vN)
	a.label(head)
	i.op(a, i.logic("VPXOR"), sum, sum, sum)
	a.f("MOVQ DX, SI")
	a.label(vec)
	for h := range i.halves {
		a.f("VPMOVZXWD %d(R8), %s", 16*h, i.at(x, h))
	}
	i.shift(a, "VPSLLD", 16, x, x)
	i.op(a, "VFMADD231PS", mem("BX"), x, sum)
	a.f("ADDQ $64, BX")
	a.f("ADDQ $32, R8")
	a.f("DECQ SI")
	a.f("JNZ %s", vec)
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
	a.f("ADDQ $4, DI")
	a.f("DECQ CX")
	a.f("JNZ %s", head)
	a.end()
}

// scaleRows multiplies each row of vectors x 16 values at dst, a row's bytes
// after the other, by its own factor at src.
func (i rowISA) scaleRows(a *asm) {
	a.begin("scaleRows"+i.name, "ropeArgs", true)
	for _, p := range []struct {
		off int
		reg string
	}{{ropeDst, "DI"}, {ropeSrc, "BX"}, {ropeHeads, "CX"}, {ropeVectors, "DX"}} {
		a.f("MOVQ %d(AX), %s", p.off, p.reg)
	}
	row, vec := a.newLabel("row"), a.newLabel("vector")
	a.label(row)
	for h := range i.halves {
		a.f("VBROADCASTSS (BX), %s", i.at(reg(vS), h))
	}
	a.f("MOVQ DX, SI")
	a.label(vec)
	i.op(a, "VMULPS", mem("DI"), reg(vS), reg(vX))
	i.op(a, "VMOVUPS", reg(vX), mem("DI"))
	a.f("ADDQ $64, DI")
	a.f("DECQ SI")
	a.f("JNZ %s", vec)
	a.f("ADDQ $4, BX")
	a.f("DECQ CX")
	a.f("JNZ %s", row)
	a.end()
}
