package main

// Offsets in softmaxArgs; a test checks them against the Go type.
const (
	smS, smLDS, smP, smLDP     = 0, 8, 16, 24
	smRows, smSeen, smM, smSum = 32, 40, 48, 56
	smDelta, smScale, smMore   = 64, 72, 80
)

const softmaxVecs = 4 // a block has 64 columns

// attention emits the functions on blocks of 64 columns. 512 bits with bf16.
func attention(a *asm) {
	softmax(a)
	softmaxBack(a)
	transposeRound(a)
	roundRows(a)
	pairRows(a)
	a.f("")
	for i := 0; i < 64; i += 2 {
		a.f("DATA columnIndex<>+%d(SB)/8, $0x%08x%08x", i*4, i+1, i)
	}
	a.f("GLOBL columnIndex<>(SB), RODATA|NOPTR, $256")
	for i := 0; i < 32; i += 4 {
		w := func(n int) int { return n/2 + n%2*16 }
		a.f("DATA zipWords<>+%d(SB)/8, $0x%04x%04x%04x%04x", i*2, w(i+3), w(i+2), w(i+1), w(i))
	}
	a.f("GLOBL zipWords<>(SB), RODATA|NOPTR, $64")
}

// softmaxStart loads pointers and constants: BX scores, DI second matrix, CX
// rows, R8 columns seen, R9 m, R10 sums; Z20 scale, Z21 -Inf, Z22-Z25 indices.
func softmaxStart(a *asm, name string) {
	a.begin(name, "softmaxArgs", true)
	a.f("MOVQ %d(AX), BX", smS)
	a.f("MOVQ %d(AX), R11", smLDS)
	a.f("MOVQ %d(AX), DI", smP)
	a.f("MOVQ %d(AX), R12", smLDP)
	a.f("MOVQ %d(AX), CX", smRows)
	a.f("MOVQ %d(AX), R8", smSeen)
	a.f("MOVQ %d(AX), R9", smM)
	a.f("MOVQ %d(AX), R10", smSum)
	a.f("MOVQ %d(AX), DX", smDelta)
	a.f("VBROADCASTSS %d(AX), Z20", smScale)
	a.f("VMOVUPS rowConst%s<>+%d(SB), Z21", rowsZ.name, cInf*64)
	a.f("VPXORD rowConst%s<>+%d(SB), Z21, Z21", rowsZ.name, cSign*64)
	for v := range softmaxVecs {
		a.f("VMOVUPS columnIndex<>+%d(SB), Z%d", v*64, 22+v)
	}
}

// maskedScore sets Zd to vector v of the row, scaled; columns not seen to -Inf.
// Z26 holds the number seen.
func maskedScore(a *asm, v, d int) {
	const ge = 5
	a.f("VMULPS %d(BX), Z20, Z%d", v*64, d)
	a.f("VPCMPD $%d, Z26, Z%d, K2", ge, 22+v)
	a.f("VMOVAPS Z21, K2, Z%d", d)
}

// fold reduces Z0 to its first lane in the package's tree order.
func fold(a *asm, op, opScalar string) {
	a.f("VEXTRACTF64X4 $1, Z0, Y1")
	a.f("%s Y1, Y0, Y0", op)
	a.f("VEXTRACTF128 $1, Y0, X1")
	a.f("%s X1, X0, X0", op)
	a.f("VPERMILPS $0x0e, X0, X1")
	a.f("%s X1, X0, X0", op)
	a.f("VPERMILPS $0x01, X0, X1")
	a.f("%s X1, X0, X0", opScalar)
}

func softmaxNext(a *asm, loop string) {
	a.f("ADDQ R11, BX")
	a.f("ADDQ R12, DI")
	a.f("ADDQ $4, R9")
	a.f("ADDQ $4, R10")
	a.f("ADDQ %d(AX), R8", smMore)
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	a.end()
}

// softmax: per row, m = max(m, scores), p = bf16(exp(score - m)), sum = Σ exp.
func softmax(a *asm) {
	softmaxStart(a, "softmax64")
	loop := a.newLabel("loop")
	a.label(loop)
	a.f("VPBROADCASTD R8, Z26")
	for v := range softmaxVecs {
		maskedScore(a, v, 16+v)
	}
	a.f("VMAXPS Z17, Z16, Z0")
	a.f("VMAXPS Z19, Z18, Z1")
	a.f("VMAXPS Z1, Z0, Z0")
	fold(a, "VMAXPS", "VMAXSS")
	a.f("VMAXSS (R9), X0, X0")
	a.f("VADDSS rowConst%s<>+%d(SB), X0, X0", rowsZ.name, cZero*64) // -0 becomes 0
	a.f("VMOVSS X0, (R9)")
	a.f("VBROADCASTSS X0, Z27")
	for v := range softmaxVecs {
		a.f("VSUBPS Z27, Z%d, Z%d", 16+v, vX)
		rowsZ.exp(a)
		if v == 0 {
			a.f("VMOVAPS Z%d, Z28", vP)
		} else {
			a.f("VADDPS Z%d, Z28, Z28", vP)
		}
		a.cvtbf16(vP, vP)
		a.f("VMOVUPS Y%d, %d(DI)", vP, v*32)
	}
	a.f("VMOVAPS Z28, Z0")
	fold(a, "VADDPS", "VADDSS")
	a.f("VMOVSS X0, (R10)")
	softmaxNext(a, loop)
}

// softmaxBack: per row, s becomes the weight exp(score - m) * sum (sum holds the
// inverse), dp becomes (weight * (dp - delta)) * scale.
func softmaxBack(a *asm) {
	softmaxStart(a, "softmaxBack64")
	loop := a.newLabel("loop")
	a.label(loop)
	a.f("VPBROADCASTD R8, Z26")
	a.f("VBROADCASTSS (R9), Z27")
	a.f("VBROADCASTSS (R10), Z28")
	a.f("VBROADCASTSS (DX), Z29")
	for v := range softmaxVecs {
		maskedScore(a, v, vX)
		a.f("VSUBPS Z27, Z%[1]d, Z%[1]d", vX)
		rowsZ.exp(a)
		a.f("VMULPS Z28, Z%[1]d, Z%[1]d", vP)
		a.f("VMOVUPS Z%d, %d(BX)", vP, v*64)
		a.f("VMOVUPS %d(DI), Z%d", v*64, vX)
		a.f("VSUBPS Z29, Z%[1]d, Z%[1]d", vX)
		a.f("VMULPS Z%d, Z%[2]d, Z%[2]d", vP, vX)
		a.f("VMULPS Z20, Z%[1]d, Z%[1]d", vX)
		a.f("VMOVUPS Z%d, %d(DI)", vX, v*64)
	}
	a.f("ADDQ $4, DX")
	softmaxNext(a, loop)
}

// transposeRound turns 16 rows (stride bytes apart) of vectors x 16 f32 into
// columns: rows of 16 bf16, count bytes apart.
func transposeRound(a *asm) {
	a.decodeStart("transposeRound16", false)
	a.f("MOVQ CX, R8") // destination stride
	a.f("LEAQ (R8)(R8*2), R9")
	a.f("MOVQ %d(AX), CX", decVectors)
	a.f("VMOVUPS zipWords<>(SB), Z31")
	loop := a.newLabel("loop")
	a.label(loop)
	a.f("MOVQ BX, SI")
	for i := range 8 {
		a.f("VMOVUPS (SI), Z%d", 16+i)
		a.f("VMOVUPS (SI)(DX*1), Z%d", 24)
		a.f("LEAQ (SI)(DX*2), SI")
		a.cvt2bf16(16+i, 24, i)
		a.f("VPERMW Z%[1]d, Z31, Z%[1]d", i) // dword c: rows 2i, 2i+1 of column c
	}
	for i := range 4 {
		a.f("VUNPCKLPS Z%d, Z%d, Z%d", 2*i+1, 2*i, 8+2*i)
		a.f("VUNPCKHPS Z%d, Z%d, Z%d", 2*i+1, 2*i, 9+2*i)
	}
	for q := range 2 { // rows 0-7, 8-15: column 4l+c in lane l of register 16+4q+c
		lo := 8 + 4*q
		a.f("VUNPCKLPD Z%d, Z%d, Z%d", lo+2, lo, 16+4*q)
		a.f("VUNPCKHPD Z%d, Z%d, Z%d", lo+2, lo, 17+4*q)
		a.f("VUNPCKLPD Z%d, Z%d, Z%d", lo+3, lo+1, 18+4*q)
		a.f("VUNPCKHPD Z%d, Z%d, Z%d", lo+3, lo+1, 19+4*q)
	}
	for l := range 4 {
		for c := range 4 {
			for q := range 2 {
				a.f("VEXTRACTF32X4 $%d, Z%d, %s", l, 16+4*q+c, strided("DI", c, q*16))
			}
		}
		a.f("LEAQ (DI)(R8*4), DI")
	}
	a.f("ADDQ $64, BX")
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	a.end()
}

// strided is base + i strides (R8; three are in R9) + off.
func strided(base string, i, off int) string {
	switch i {
	case 1:
		return sprint("%d(%s)(R8*1)", off, base)
	case 2:
		return sprint("%d(%s)(R8*2)", off, base)
	case 3:
		return sprint("%d(%s)(R9*1)", off, base)
	}
	return sprint("%d(%s)", off, base)
}

// roundRows rounds bias rows of vectors x 16 f32 (stride bytes apart) to bf16,
// count bytes apart.
func roundRows(a *asm) {
	a.decodeStart("roundRows16", false)
	a.f("MOVLQSX %d(AX), R10", decBias)
	row, vec := a.newLabel("row"), a.newLabel("vector")
	a.label(row)
	a.f("MOVQ %d(AX), R11", decVectors)
	a.f("MOVQ BX, SI")
	a.f("MOVQ DI, R9")
	a.label(vec)
	a.f("VMOVUPS (SI), Z0")
	a.cvtbf16(0, 0)
	a.f("VMOVUPS Y0, (R9)")
	a.f("ADDQ $64, SI")
	a.f("ADDQ $32, R9")
	a.f("DECQ R11")
	a.f("JNZ %s", vec)
	a.f("ADDQ DX, BX")
	a.f("ADDQ CX, DI")
	a.f("DECQ R10")
	a.f("JNZ %s", row)
	a.end()
}

// pairRows interleaves count pairs of bf16 rows (stride bytes apart, vectors x
// 16 values) into the pairs of a block.
func pairRows(a *asm) {
	a.decodeStart("pairRows16", false)
	pair, vec := a.newLabel("pair"), a.newLabel("vector")
	a.label(pair)
	a.f("MOVQ BX, SI")
	a.f("MOVQ %d(AX), R8", decVectors)
	a.label(vec)
	a.f("VPMOVZXWD (SI), Z0")
	a.f("VPMOVZXWD (SI)(DX*1), Z1")
	a.f("VPSLLD $16, Z1, Z1")
	a.f("VPORD Z1, Z0, Z0")
	a.f("VMOVUPS Z0, (DI)")
	a.f("ADDQ $32, SI")
	a.f("ADDQ $64, DI")
	a.f("DECQ R8")
	a.f("JNZ %s", vec)
	a.f("LEAQ (BX)(DX*2), BX")
	a.f("DECQ CX")
	a.f("JNZ %s", pair)
	a.end()
}
