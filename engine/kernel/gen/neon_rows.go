package main

import "fmt"

// The row functions work on 16 values a turn, eight at a time: virtual register
// i is the pair of registers 2i and 2i+1. Lanes of a reduction stay in registers
// 24-27, the two scalars in 22 and 23, sixteen constants in 28-31.
const (
	neonS0, neonS1, neonLanes, neonConst = 22, 23, 24, 28
	neonVL                               = vL // a rounded value
)

// neonConsts is the order of the constants in registers 28-31: four in each.
var neonConsts = []int{cLog2e, cMagic, cNegLn2Hi, cNegLn2Lo, cC0, cC1, cC2, cC3, cC4, cC5, cOne, cLow, cHigh, cInf, cRound, cHalfMask}

func constAt(c int) (reg, lane int) {
	for i, x := range neonConsts {
		if x == c {
			return neonConst + i/4, i % 4
		}
	}
	panic("no such constant")
}

// on applies f to the two registers of each virtual register.
func (a *neonAsm) on(name string, d, n, m int) {
	for j := range 2 {
		a.v3(name, 2*d+j, 2*n+j, 2*m+j)
	}
}

// onReg is on with one register as the last operand.
func (a *neonAsm) onReg(name string, d, n, m int) {
	for j := range 2 {
		a.v3(name, 2*d+j, 2*n+j, m)
	}
}

func (a *neonAsm) on2(name string, d, n int) {
	for j := range 2 {
		a.v2(name, 2*d+j, 2*n+j)
	}
}

func (a *neonAsm) copyTo(d, n int) {
	for j := range 2 {
		a.move(2*d+j, 2*n+j)
	}
}

// set fills virtual register d with a constant.
func (a *neonAsm) set(d, c int) {
	r, lane := constAt(c)
	for j := range 2 {
		a.spread(2*d+j, r, lane)
	}
}

// fmaConst is d += n * constant.
func (a *neonAsm) fmaConst(d, n, c int) {
	r, lane := constAt(c)
	for j := range 2 {
		a.fmlaLane(2*d+j, 2*n+j, r, lane)
	}
}

func (a *neonAsm) get(d int, base string, h int) {
	a.f("FLDPQ %d(%s), (F%d, F%d)", h*32, base, 2*d, 2*d+1)
}

func (a *neonAsm) put(d int, base string, h int) {
	a.f("FSTPQ (F%d, F%d), %d(%s)", 2*d, 2*d+1, h*32, base)
}

// exp sets vP to exp(vX): the operations of the package's exp32. Uses vT, vN,
// vR, vU.
func (a *neonAsm) exp() {
	a.set(vT, cMagic)
	a.fmaConst(vT, vX, cLog2e)
	a.set(vN, cMagic)
	a.on("fsub", vN, vT, vN)
	a.copyTo(vR, vX)
	a.fmaConst(vR, vN, cNegLn2Hi)
	a.fmaConst(vR, vN, cNegLn2Lo)
	a.set(vP, cC1)
	a.fmaConst(vP, vR, cC0)
	p, u := vP, vU
	for c := cC2; c <= cC5; c++ {
		a.set(u, c)
		a.on("fmla", u, p, vR)
		p, u = u, p
	}
	a.on("fmul", vN, vR, vR)
	a.on("fmla", vR, p, vN) // p r² + r
	a.set(vN, cOne)
	a.on("fadd", vP, vR, vN)
	for j := range 2 {
		a.shl(2*vT+j, 2*vT+j, 23)
	}
	a.on("add", vP, vP, vT)
	a.set(vN, cLow)
	a.on("fcmgt", vN, vN, vX)
	a.on("bic", vP, vP, vN)
	a.set(vN, cHigh)
	a.on("fcmgt", vN, vX, vN)
	a.set(vR, cInf)
	a.on("bit", vP, vR, vN)
}

// sigmoid sets vT to 1 / (1 + exp(-gate)), the gate at p0.
func (a *neonAsm) sigmoid(h int) {
	a.get(vX, "R3", h)
	a.on2("fneg", vX, vX)
	a.exp()
	a.set(vT, cOne)
	a.on("fadd", vP, vP, vT)
	a.on("fdiv", vT, vT, vP)
}

// roundTo rounds virtual register r to bf16 and stores its eight values. As
// BF16FromF32: subnormals become zero (by a multiply with one), NaN stays.
func (a *neonAsm) roundTo(r int, base string, h int) {
	t, u := neonVL, vU
	a.set(u, cOne)
	a.on("fmul", r, r, u)
	a.set(u, cRound)
	a.on("add", t, r, u)
	for j := range 2 {
		a.shl(2*u+j, 2*r+j, 15)
		a.ushr(2*u+j, 2*u+j, 31)
	}
	a.on("add", t, t, u)
	a.on("fcmeq", u, r, r)
	a.on("bif", t, r, u)
	a.v2("shrn", 2*u, 2*t)
	a.v2("shrn2", 2*u, 2*t+1)
	a.f("FMOVQ F%d, %d(%s)", 2*u, h*16, base)
}

// neonRow is one row function.
type neonRow struct {
	op             string
	dst            int  // bytes of a value at dst
	p0, p1         int  // bytes of a value at p0, p1 if not four
	lanes          bool // reduces
	consts, s0, s1 bool
	exact          bool // no arithmetic: nothing to flush
	body           func(a *neonAsm, h int)
}

func (r neonRow) name() string { return "neonRow" + r.op }

func (a *neonAsm) loadConsts() {
	a.f("MOVD $neonRowConst<>(SB), R8")
	a.f("VLD1 (R8), [V28.S4, V29.S4, V30.S4, V31.S4]")
}

func (r neonRow) emit(a *neonAsm) {
	a.begin(r.name(), "rowArgs", !r.exact)
	a.args(rowDst, "R1", rowDst2, "R2", rowP0, "R3", rowP1, "R4", rowP2, "R5", rowN, "R6", rowLanes, "R7")
	if r.consts {
		a.loadConsts()
	}
	for i, on := range []bool{r.s0, r.s1} {
		if on {
			a.f("FMOVS %d(%s), F%d", rowS0+4*i, rArgs, neonS0+i)
			a.spread(neonS0+i, neonS0+i, 0)
		}
	}
	walk := func(op string) {
		if r.lanes {
			a.f(op, "R7")
		}
	}
	walk("VLD1 (%s), [V24.S4, V25.S4, V26.S4, V27.S4]")
	loop := a.newLabel("loop")
	a.label(loop)
	for h := range 2 {
		r.body(a, h)
	}
	size := func(n int) int {
		if n == 0 {
			return 64
		}
		return 16 * n
	}
	a.f("ADD $%d, R3", size(r.p0))
	a.f("ADD $%d, R4", size(r.p1))
	a.f("ADD $64, R5")
	if r.dst > 0 {
		a.f("ADD $%d, R1", 16*r.dst)
		a.f("ADD $%d, R2", 16*r.dst)
	}
	a.f("SUBS $16, R6, R6")
	a.f("BNE %s", loop)
	walk("VST1 [V24.S4, V25.S4, V26.S4, V27.S4], (%s)")
	a.end(nil)
}

// reduce is lanes = op(lanes...) with vX (and vT).
func reduceFMA(a *neonAsm, h, n, m int) {
	for j := range 2 {
		a.v3("fmla", neonLanes+2*h+j, 2*n+j, 2*m+j)
	}
}

func neonRowFuncs() []neonRow {
	return append(neonPlainRows(), neonLayerRows()...)
}

func neonPlainRows() []neonRow {
	return []neonRow{
		{op: "Dot", lanes: true, body: func(a *neonAsm, h int) {
			a.get(vX, "R3", h)
			a.get(vT, "R4", h)
			reduceFMA(a, h, vX, vT)
		}},
		{op: "DotBF16", lanes: true, p1: 2, body: func(a *neonAsm, h int) {
			a.get(vX, "R3", h)
			a.f("FMOVQ %d(R4), F%d", h*16, 2*vT+1)
			a.v2("shll", 2*vT, 2*vT+1)
			a.v2("shll2", 2*vT+1, 2*vT+1)
			reduceFMA(a, h, vX, vT)
		}},
		{op: "Dot3", lanes: true, body: func(a *neonAsm, h int) {
			a.get(vX, "R3", h)
			a.get(vT, "R4", h)
			a.on("fmul", vX, vX, vT)
			a.get(vT, "R5", h)
			reduceFMA(a, h, vX, vT)
		}},
		{op: "Max", lanes: true, exact: true, body: func(a *neonAsm, h int) {
			a.get(vX, "R3", h)
			for j := range 2 { // x > l ? x : l
				l := neonLanes + 2*h + j
				a.v3("fcmgt", 2*vT+j, 2*vX+j, l)
				a.v3("bit", l, 2*vX+j, 2*vT+j)
			}
		}},
		{op: "Add", dst: 4, body: func(a *neonAsm, h int) {
			a.get(vX, "R1", h)
			a.get(vT, "R3", h)
			a.on("fadd", vX, vX, vT)
			a.put(vX, "R1", h)
		}},
		{op: "Scale", dst: 4, s0: true, body: func(a *neonAsm, h int) {
			a.get(vX, "R1", h)
			a.onReg("fmul", vX, vX, neonS0)
			a.put(vX, "R1", h)
		}},
		{op: "Axpy", dst: 4, s0: true, body: func(a *neonAsm, h int) {
			a.get(vX, "R1", h)
			a.get(vT, "R3", h)
			a.onReg("fmla", vX, vT, neonS0)
			a.put(vX, "R1", h)
		}},
		{op: "Exp", dst: 4, consts: true, body: func(a *neonAsm, h int) {
			a.get(vX, "R3", h)
			a.exp()
			a.put(vP, "R1", h)
		}},
		{op: "ExpSub", dst: 4, consts: true, s0: true, lanes: true, body: func(a *neonAsm, h int) {
			a.get(vX, "R3", h)
			a.onReg("fsub", vX, vX, neonS0)
			a.exp()
			a.put(vP, "R1", h)
			for j := range 2 {
				l := neonLanes + 2*h + j
				a.v3("fadd", l, l, 2*vP+j)
			}
		}},
		{op: "Round", dst: 2, consts: true, body: func(a *neonAsm, h int) {
			a.get(vX, "R3", h)
			a.roundTo(vX, "R1", h)
		}},
		{op: "SoftmaxBack", dst: 4, s0: true, s1: true, body: func(a *neonAsm, h int) {
			a.get(vX, "R1", h)
			a.get(vT, "R3", h)
			a.onReg("fsub", vX, vX, neonS0)
			a.on("fmul", vX, vT, vX)
			a.onReg("fmul", vX, vX, neonS1)
			a.put(vX, "R1", h)
		}},
	}
}

// neonLayerRows are the functions of norms and SwiGLU, in f32 and rounded.
func neonLayerRows() []neonRow {
	norm := func(a *neonAsm, h int) {
		a.get(vX, "R3", h)
		a.get(vT, "R4", h)
		a.onReg("fmul", vX, vX, neonS0)
		a.on("fmul", vX, vX, vT)
	}
	swiGLU := func(a *neonAsm, h int) { // vT = silu(p0) * p1
		a.sigmoid(h)
		a.get(vX, "R3", h)
		a.on("fmul", vT, vX, vT)
		a.get(vX, "R4", h)
		a.on("fmul", vT, vT, vX)
	}
	// vX the gate's, vR the up's gradient.
	swiGLUBack := func(a *neonAsm, h int) {
		s, silu, slope, d, x := vT, vN, vP, vR, vX
		a.sigmoid(h)
		a.get(x, "R3", h)
		a.on("fmul", silu, x, s)
		a.set(slope, cOne)
		a.on("fsub", slope, slope, s)
		a.on("fmla", s, silu, slope) // silu (1-s) + s
		a.get(d, "R5", h)
		a.get(x, "R4", h)
		a.on("fmul", x, d, x)
		a.on("fmul", x, x, s)
		a.on("fmul", d, d, silu)
	}
	return []neonRow{
		{op: "Norm", dst: 4, s0: true, body: func(a *neonAsm, h int) { norm(a, h); a.put(vX, "R1", h) }},
		{op: "NormBF16", dst: 2, s0: true, consts: true, body: func(a *neonAsm, h int) { norm(a, h); a.roundTo(vX, "R1", h) }},
		{op: "NormBack", dst: 4, s0: true, s1: true, body: func(a *neonAsm, h int) {
			a.get(vX, "R3", h)
			a.get(vT, "R4", h)
			a.on("fmul", vX, vX, vT)
			a.onReg("fmul", vX, vX, neonS0)
			a.get(vT, "R5", h)
			a.onReg("fmls", vX, vT, neonS1)
			a.get(vT, "R1", h)
			a.on("fadd", vX, vT, vX)
			a.put(vX, "R1", h)
		}},
		{op: "SwiGLU", dst: 4, consts: true, body: func(a *neonAsm, h int) { swiGLU(a, h); a.put(vT, "R1", h) }},
		{op: "SwiGLUBF16", dst: 2, consts: true, body: func(a *neonAsm, h int) { swiGLU(a, h); a.roundTo(vT, "R1", h) }},
		{op: "SwiGLUBack", dst: 4, consts: true, body: func(a *neonAsm, h int) {
			swiGLUBack(a, h)
			a.put(vX, "R1", h)
			a.put(vR, "R2", h)
		}},
		{op: "SwiGLUBackBF16", dst: 2, consts: true, body: func(a *neonAsm, h int) {
			swiGLUBack(a, h)
			a.roundTo(vX, "R1", h)
			a.roundTo(vR, "R2", h)
		}},
	}
}

// neonBlockSums adds each 32 bf16 at p0 into one f32 at dst: 16 lanes
// x[2i+1]+x[2i], then the package's tree.
func neonBlockSums(a *neonAsm) {
	a.begin("neonRowBlockSums", "rowArgs", true)
	a.args(rowDst, "R1", rowP0, "R3", rowN, "R6")
	a.halfMask(31)
	loop := a.newLabel("loop")
	a.label(loop)
	a.f("VLD1.P 64(R3), [V0.S4, V1.S4, V2.S4, V3.S4]")
	for q := range 4 {
		a.v3("and", 4, q, 31)
		a.shl(q, q, 16)
		a.v3("fadd", q, 4, q)
	}
	a.v3("fadd", 0, 0, 2)
	a.v3("fadd", 1, 1, 3)
	a.v3("fadd", 0, 0, 1)
	a.upper(1, 0)
	a.v3("fadd", 0, 0, 1)
	a.spread(1, 0, 1)
	a.v3("fadd", 0, 0, 1)
	a.f("FMOVS.P F0, 4(R1)")
	a.f("SUBS $32, R6, R6")
	a.f("BNE %s", loop)
	a.end(nil)
}

// neonRows emits the row functions and lists them for Go.
func neonRows(a *neonAsm) {
	fmt.Fprintf(&a.list.tables, "// neonRowFuncs by operation; nil where the portable one serves.\nvar neonRowFuncs = [numRowOps]func(*rowArgs) uint64{\n")
	for _, r := range neonRowFuncs() {
		r.emit(a)
		if r.exact {
			fmt.Fprintf(&a.list.tables, "op%s: exactRow(%s),\n", r.op, r.name())
			continue
		}
		fmt.Fprintf(&a.list.tables, "op%s: %s,\n", r.op, r.name())
	}
	neonBlockSums(a)
	a.list.tables.WriteString("opBlockSums: neonRowBlockSums,\n}\n\n")
	a.f("")
	for i := 0; i < len(neonConsts); i += 2 {
		a.f("DATA neonRowConst<>+%d(SB)/8, $0x%08x%08x", i*4, constBits[neonConsts[i+1]], constBits[neonConsts[i]])
	}
	a.f("GLOBL neonRowConst<>(SB), RODATA|NOPTR, $%d", len(neonConsts)*4)
}
