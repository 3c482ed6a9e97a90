package main

// Offsets in unpackArgs; a test checks them against the Go type.
const (
	uDst, uSrc, uScales            = 0, 8, 16
	uCount, uStride, uVecs, uMinus = 24, 32, 40, 48
)

// neonDecodes emits the functions that turn packed weights into f32 rows of 64
// columns, in the order of k.
func neonDecodes(a *neonAsm) {
	neonDecodeQ4(a)
	neonDecodeQ8(a)
	neonWiden(a)
	for _, kind := range []string{t8Plain, t8Scale, t8Min} {
		neonTranspose(a, kind)
	}
	neonPairRows(a)
}

func (a *neonAsm) unpackStart(name string) {
	a.begin(name, "unpackArgs", false)
	a.args(uDst, "R1", uSrc, "R3", uCount, "R5", uStride, "R4")
}

// neonDecodeQ4 unpacks count blocks (stride bytes apart) of four-bit codes less
// minus: [32][64] for each block. A 32-bit lane holds eight codes of one column
// modulo 16: of the even k of a pair in its lower half, of the odd in its upper.
func neonDecodeQ4(a *neonAsm) {
	a.unpackStart("neonDecodeQ4")
	a.args(uMinus, "R8")
	a.f("VDUP R8, V31.S4")
	a.fifteen(30)
	block, pair := a.newLabel("block"), a.newLabel("pair")
	a.label(block)
	a.f("MOVD R3, R6")
	a.f("MOVD $16, R7")
	a.label(pair)
	for q := range 4 { // columns 4q..4q+3 of each 16
		a.f("FMOVQ %d(R6), F0", q*16)
		for v := range 4 {
			for odd := range 2 {
				t, bits := 1+2*v+odd, 4*v+16*odd
				switch bits {
				case 0:
					a.v3("and", t, 0, 30)
				case 28:
					a.ushr(t, 0, 28)
				default:
					a.ushr(t, 0, bits)
					a.v3("and", t, t, 30)
				}
				a.v3("sub", t, t, 31)
				a.v2("scvtf", t, t)
				a.f("FMOVQ F%d, %d(R1)", t, odd*256+v*64+q*16)
			}
		}
	}
	a.f("ADD $64, R6")
	a.f("ADD $512, R1")
	a.f("SUBS $1, R7, R7")
	a.f("BNE %s", pair)
	a.f("ADD R4, R3")
	a.f("SUBS $1, R5, R5")
	a.f("BNE %s", block)
	a.end(nil)
}

// neonDecodeQ8 is neonDecodeQ4 for signed codes of eight bits.
func neonDecodeQ8(a *neonAsm) {
	a.unpackStart("neonDecodeQ8")
	block, pair := a.newLabel("block"), a.newLabel("pair")
	a.label(block)
	a.f("MOVD R3, R6")
	a.f("MOVD $16, R7")
	a.label(pair)
	for g := range 4 { // 16 columns
		a.f("FLDPQ %d(R6), (F0, F1)", g*32)
		a.v3("uzp1", 2, 0, 1)
		a.v3("uzp2", 3, 0, 1)
		for odd := range 2 {
			a.v2("sxtlb", 4, 2+odd)
			a.v2("sxtlb2", 5, 2+odd)
			for h := range 2 {
				a.v2("sxtl", 6+2*h, 4+h)
				a.v2("sxtl2", 7+2*h, 4+h)
			}
			for q := range 4 {
				a.v2("scvtf", 6+q, 6+q)
				a.f("FMOVQ F%d, %d(R1)", 6+q, odd*256+g*64+q*16)
			}
		}
	}
	a.f("ADD $128, R6")
	a.f("ADD $512, R1")
	a.f("SUBS $1, R7, R7")
	a.f("BNE %s", pair)
	a.f("ADD R4, R3")
	a.f("SUBS $1, R5, R5")
	a.f("BNE %s", block)
	a.end(nil)
}

// neonWiden widens count pairs of k (stride bytes apart, vectors x 16 columns)
// of bf16 to f32 [2*count][64].
func neonWiden(a *neonAsm) {
	a.unpackStart("neonWiden")
	a.halfMask(31)
	pair, vec := a.newLabel("pair"), a.newLabel("vector")
	a.label(pair)
	a.f("MOVD R3, R6")
	a.f("MOVD R1, R7")
	a.args(uVecs, "R8")
	a.label(vec)
	for q := range 4 {
		a.f("FMOVQ %d(R6), F0", q*16)
		a.shl(1, 0, 16)
		a.v3("and", 2, 0, 31)
		a.f("FMOVQ F1, %d(R7)", q*16)
		a.f("FMOVQ F2, %d(R7)", 256+q*16)
	}
	a.f("ADD $64, R6")
	a.f("ADD $64, R7")
	a.f("SUBS $1, R8, R8")
	a.f("BNE %s", vec)
	a.f("ADD R4, R3")
	a.f("ADD $512, R1")
	a.f("SUBS $1, R5, R5")
	a.f("BNE %s", pair)
	a.end(nil)
}

// neonTranspose: count groups of four rows k, stride bytes apart, of vectors x 4
// columns n, to rows n of 256 bytes. Codes are multiplied by their columns' f16
// scales on the way (minima 128 bytes on added) and rounded to bf16. No result is
// subnormal: the smallest f16 is far above.
func neonTranspose(a *neonAsm, kind string) {
	a.unpackStart("neonTranspose" + kind)
	a.halfUlp(31)
	a.halfMask(30)
	group, vec := a.newLabel("group"), a.newLabel("vector")
	a.label(group)
	a.f("MOVD R3, R6")
	a.f("MOVD R1, R7")
	a.args(uVecs, "R8", uScales, "R9")
	a.label(vec)
	a.f("MOVD R6, R10")
	for i := range 4 {
		a.f("FMOVQ (R10), F%d", i)
		a.f("ADD R4, R10")
	}
	if kind != t8Plain {
		a.f("FMOVD (R9), F16")
		a.v2("fcvtl", 16, 16)
		if kind == t8Min {
			a.f("FMOVD 128(R9), F17")
			a.v2("fcvtl", 17, 17)
		}
		for i := range 4 {
			if kind == t8Min {
				a.move(18, 17)
				a.v3("fmla", 18, i, 16)
				a.move(i, 18)
			} else {
				a.v3("fmul", i, i, 16)
			}
			a.roundBF16(i, 19, 31)
			a.v3("and", i, i, 30)
		}
	}
	a.v3("trn1", 4, 0, 1)
	a.v3("trn2", 5, 0, 1)
	a.v3("trn1", 6, 2, 3)
	a.v3("trn2", 7, 2, 3)
	a.v3("trn1d", 0, 4, 6)
	a.v3("trn1d", 1, 5, 7)
	a.v3("trn2d", 2, 4, 6)
	a.v3("trn2d", 3, 5, 7)
	for i := range 4 {
		a.f("FMOVQ F%d, %d(R7)", i, i*256)
	}
	a.f("ADD $16, R6")
	a.f("ADD $8, R9")
	a.f("ADD $1024, R7")
	a.f("SUBS $1, R8, R8")
	a.f("BNE %s", vec)
	a.f("ADD R4<<2, R3")
	a.f("ADD $16, R1")
	a.f("SUBS $1, R5, R5")
	a.f("BNE %s", group)
	a.end(nil)
}

// neonPairRows interleaves count pairs of bf16 rows (stride bytes from row to
// row) of vectors x 16 values.
func neonPairRows(a *neonAsm) {
	a.unpackStart("neonPairRows")
	pair, vec := a.newLabel("pair"), a.newLabel("vector")
	a.label(pair)
	a.f("MOVD R3, R6")
	a.f("ADD R4, R3, R7")
	a.args(uVecs, "R8")
	a.label(vec)
	a.f("FLDPQ.P 32(R6), (F0, F1)")
	a.f("FLDPQ.P 32(R7), (F2, F3)")
	for i := range 2 {
		a.v3("zip1", 4, i, 2+i)
		a.v3("zip2", 5, i, 2+i)
		a.f("FSTPQ.P (F4, F5), 32(R1)")
	}
	a.f("SUBS $1, R8, R8")
	a.f("BNE %s", vec)
	a.f("ADD R4<<1, R3")
	a.f("SUBS $1, R5, R5")
	a.f("BNE %s", pair)
	a.end(nil)
}
