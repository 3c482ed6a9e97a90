package main

// transposes emits the functions that turn weights W[n, k] into panels of Wᵀ
// for the backward multiply. 512 bits.
func transposes(a *asm) {
	transposeBlock(a, kindQ4)
	transposeBlock(a, kindQ4Min)
	transposeBlock(a, kindQ8)
	transposeWide(a, false)
	transposeWide(a, true)
	transposePairs(a)
	transposeF32(a)
	a.f("")
	words := []int{0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15}
	for i := 0; i < 16; i += 2 {
		a.f("DATA transposeIndex<>+%d(SB)/8, $0x%08x%08x", i*4, words[i+1], words[i])
	}
	a.f("GLOBL transposeIndex<>(SB), RODATA|NOPTR, $64")
}

// transposeBlock dequantises one block (32 k of 64 columns n), rounds to bf16
// and stores pairs of n: 32 rows of [32 k][2], 256 bytes apart.
func transposeBlock(a *asm, kind string) {
	a.decodeStart("transpose"+kind, true)
	if kind != kindQ8 {
		a.f("MOVQ %d(AX), SI", decTable)
		a.f("VMOVUPS (SI), Z31")
	}
	a.f("VMOVUPS transposeIndex<>(SB), Z30")
	for v := range 4 {
		a.f("VCVTPH2PS %d(BX), Z28", codeBytes(kind)+v*32)
		if kind == kindQ4Min {
			a.f("VCVTPH2PS %d(BX), Z29", codeBytes(kind)+128+v*32)
		}
		for half := range 2 {
			for j := range 8 {
				a.dequantPair(kind, half*8+j, v, j)
			}
			a.transposeQuads(v, half*64)
		}
	}
	a.end()
}

// transposeWide scales 16 k of 64 columns n, decoded to pairs of bf16 codes (stride
// bytes from pair to pair), by the f32 scales at table (minima 256 bytes on), rounds
// to bf16 and stores pairs of n: 32 rows of [16 k][2], 256 bytes apart.
func transposeWide(a *asm, min bool) {
	a.decodeStart("transpose"+scales{min: min, wide: true}.name(), true)
	a.f("MOVQ %d(AX), CX", decTable)
	a.f("VMOVUPS transposeIndex<>(SB), Z30")
	a.f("VPTERNLOGD $0xff, Z31, Z31, Z31")
	a.f("VPSLLD $16, Z31, Z31")
	for v := range 4 {
		a.f("VMOVUPS %d(CX), Z28", v*64)
		if min {
			a.f("VMOVUPS %d(CX), Z29", 256+v*64)
		}
		a.f("MOVQ BX, SI")
		for j := range 8 {
			even, odd := 16+2*(j&1), 17+2*(j&1)
			a.f("VMOVUPS %d(SI), Z%d", v*64, even)
			a.f("VPANDD Z31, Z%d, Z%d", even, odd)
			a.f("VPSLLD $16, Z%[1]d, Z%[1]d", even)
			for _, r := range []int{even, odd} {
				if min {
					a.f("VFMADD213PS Z29, Z28, Z%d", r)
				} else {
					a.f("VMULPS Z28, Z%[1]d, Z%[1]d", r)
				}
			}
			a.cvt2bf16(even, odd, j)
			a.f("ADDQ DX, SI")
		}
		a.transposeQuads(v, 0)
	}
	a.end()
}

// dequantPair leaves pair j of vector v in register d: 16 columns of the even
// k in the low half, of the odd k in the high half, as bf16. Uses Z16-Z19.
func (a *asm) dequantPair(kind string, j, v, d int) {
	even, odd := 16+2*(d&1), 17+2*(d&1)
	if kind == kindQ8 {
		a.f("VPMOVSXBW %d(BX), Z%d", j*128+v*32, odd)
		a.f("VPSLLD $16, Z%d, Z%d", odd, even)
		a.f("VPSRAD $16, Z%[1]d, Z%[1]d", odd)
		a.f("VPSRAD $16, Z%[1]d, Z%[1]d", even)
		a.f("VCVTDQ2PS Z%[1]d, Z%[1]d", odd)
		a.f("VCVTDQ2PS Z%[1]d, Z%[1]d", even)
	} else {
		a.f("VMOVUPS %d(BX), Z%d", j*64, odd)
		a.f("VPSRLD $%d, Z%d, Z%d", 4*v, odd, even)
		a.f("VPSRLD $%d, Z%d, Z%d", 4*v+16, odd, odd)
		a.f("VPERMPS Z31, Z%[1]d, Z%[1]d", even) // four bits of an index count
		a.f("VPERMPS Z31, Z%[1]d, Z%[1]d", odd)
	}
	for _, r := range []int{even, odd} {
		if kind == kindQ4Min {
			a.f("VFMADD213PS Z29, Z28, Z%d", r)
		} else {
			a.f("VMULPS Z28, Z%[1]d, Z%[1]d", r)
		}
	}
	a.cvt2bf16(even, odd, d)
}

// transposeQuads transposes Z0-Z7 (row j: 8 dwords of pairs of n for k = 2j,
// then 8 for k = 2j+1) and stores 8 rows, one per pair of n, at DI.
func (a *asm) transposeQuads(v, off int) {
	for j := range 8 {
		a.f("VPERMD Z%[1]d, Z30, Z%[1]d", j) // qword p: pair p of n at k = 2j, 2j+1
	}
	for i := range 4 {
		a.f("VUNPCKLPD Z%d, Z%d, Z%d", 2*i+1, 2*i, 8+i)  // even p
		a.f("VUNPCKHPD Z%d, Z%d, Z%d", 2*i+1, 2*i, 12+i) // odd p
	}
	for odd := range 2 {
		a.lanes4(8+4*odd, 20)
		for l := range 4 {
			a.f("VMOVUPS Z%d, %d(DI)", 8+4*odd+l, (v*8+2*l+odd)*256+off)
		}
	}
}

// lanes4 transposes the 4x4 matrix of 128-bit lanes in registers r..r+3,
// through t..t+3.
func (a *asm) lanes4(r, t int) {
	a.f("VSHUFF64X2 $0x44, Z%d, Z%d, Z%d", r+1, r, t)
	a.f("VSHUFF64X2 $0xee, Z%d, Z%d, Z%d", r+1, r, t+1)
	a.f("VSHUFF64X2 $0x44, Z%d, Z%d, Z%d", r+3, r+2, t+2)
	a.f("VSHUFF64X2 $0xee, Z%d, Z%d, Z%d", r+3, r+2, t+3)
	a.f("VSHUFF64X2 $0x88, Z%d, Z%d, Z%d", t+2, t, r)
	a.f("VSHUFF64X2 $0xdd, Z%d, Z%d, Z%d", t+2, t, r+1)
	a.f("VSHUFF64X2 $0x88, Z%d, Z%d, Z%d", t+3, t+1, r+2)
	a.f("VSHUFF64X2 $0xdd, Z%d, Z%d, Z%d", t+3, t+1, r+3)
}

// transposePairs does the same for a bf16 panel: 8 pairs of k, stride bytes
// apart, vectors x 16 columns n.
func transposePairs(a *asm) {
	a.decodeStart("transposePairs", false)
	a.f("VMOVUPS transposeIndex<>(SB), Z30")
	a.f("VMOVUPS splitWords<>(SB), Z31")
	a.f("MOVQ %d(AX), CX", decVectors)
	loop := a.newLabel("loop")
	a.label(loop)
	a.f("MOVQ BX, SI")
	for j := range 8 {
		a.f("VMOVUPS (SI), Z%d", j)
		a.f("VPERMW Z%[1]d, Z31, Z%[1]d", j) // even k's columns, then odd k's
		a.f("ADDQ DX, SI")
	}
	a.transposeQuads(0, 0)
	a.f("ADDQ $64, BX")
	a.f("ADDQ $2048, DI")
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	a.end()
	a.f("")
	for i := 0; i < 32; i += 4 {
		w := func(n int) int { return n%16*2 + n/16 }
		a.f("DATA splitWords<>+%d(SB)/8, $0x%04x%04x%04x%04x", i*2, w(i+3), w(i+2), w(i+1), w(i))
	}
	a.f("GLOBL splitWords<>(SB), RODATA|NOPTR, $64")
}

// transposeF32 transposes 16 rows (stride bytes apart) of vectors x 16 values of
// 32 bits to rows of 16, count bytes apart.
func transposeF32(a *asm) {
	a.decodeStart("transpose32x16", false)
	a.f("MOVQ CX, R8") // destination stride
	a.f("LEAQ (R8)(R8*2), R9")
	a.f("MOVQ %d(AX), CX", decVectors)
	loop := a.newLabel("loop")
	a.label(loop)
	a.f("MOVQ BX, SI")
	for k := range 16 {
		a.f("VMOVUPS (SI), Z%d", k)
		a.f("ADDQ DX, SI")
	}
	for i := range 8 { // two rows: columns 4l, 4l+1 low; 4l+2, 4l+3 high
		a.f("VUNPCKLPS Z%d, Z%d, Z%d", 2*i+1, 2*i, 16+2*i)
		a.f("VUNPCKHPS Z%d, Z%d, Z%d", 2*i+1, 2*i, 17+2*i)
	}
	for q := range 4 { // four rows: column 4l+c of lane l in register 4c+q
		for high := range 2 {
			a.f("VUNPCKLPD Z%d, Z%d, Z%d", 18+4*q+high, 16+4*q+high, 4*(2*high)+q)
			a.f("VUNPCKHPD Z%d, Z%d, Z%d", 18+4*q+high, 16+4*q+high, 4*(2*high+1)+q)
		}
	}
	for c := range 4 {
		a.lanes4(4*c, 16)
	}
	for l := range 4 {
		for c := range 4 {
			a.f("VMOVUPS Z%d, %s", 4*c+l, strided("DI", c, 0))
		}
		a.f("LEAQ (DI)(R8*4), DI")
	}
	a.f("ADDQ $64, BX")
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	a.end()
}
