package main

// Offsets in decodeArgs; a test checks them against the Go type.
const (
	decDst, decSrc, decTable = 0, 8, 16
	decCount, decStride      = 24, 32
	decVectors, decBias      = 40, 48
)

// decodes emits the functions that unpack weights into scratch memory.
func decodes(a *asm) {
	decodeBF16(a, kindQ4)
	decodeBF16(a, kindQ8)
	decodeQ4F32(a)
	decodeQ8F32(a)
	widenPairs(a)
	widenRow(a)
}

func (a *asm) decodeStart(name string, flush bool) {
	a.begin(name, "decodeArgs", flush)
	a.f("MOVQ %d(AX), DI", decDst)
	a.f("MOVQ %d(AX), BX", decSrc)
	a.f("MOVQ %d(AX), CX", decCount)
	a.f("MOVQ %d(AX), DX", decStride)
}

// decodeBF16 unpacks count blocks, stride bytes apart, to a bf16 panel of
// integer codes: [16 pairs][64][2] for each block. 512 bits.
func decodeBF16(a *asm, kind string) {
	a.decodeStart("decode"+kind, false)
	if kind == kindQ4 {
		a.f("MOVQ %d(AX), SI", decTable)
		a.f("VMOVUPS (SI), Z%d", regTable)
	}
	a.f("MOVQ CX, R8") // the chunk that follows is wanted after the multiplies by this one
	a.f("IMULQ DX, R8")
	block := a.newLabel("block")
	a.label(block)
	pair := codeBytes(kind) / 16
	for off := 0; off < codeBytes(kind)+tailBytes(kind); off += 64 {
		a.f("PREFETCHT1 %d(BX)(R8*1)", off)
	}
	for j := range 16 {
		if kind == kindQ4 {
			a.f("VMOVUPS %d(BX), Z%d", j*pair, regCodes)
		}
		for v := range 4 {
			t := decodeVector(a, kind, j*pair, v)
			a.f("VMOVUPS Z%d, %d(DI)", t, j*256+v*64)
		}
	}
	a.f("ADDQ DX, BX")
	a.f("ADDQ $4096, DI")
	a.f("DECQ CX")
	a.f("JNZ %s", block)
	a.end()
}

// decodeQ4F32 unpacks count blocks to f32 codes minus bias, [32][64] for each
// block, the odd k of a pair before the even one: then a chain of f32
// multiply-adds down the rows is VDPBF16PS's chain. 256 bits.
func decodeQ4F32(a *asm) {
	a.decodeStart("decodeQ4F32", false)
	a.f("VPBROADCASTD %d(AX), Y15", decBias)
	a.f("VPCMPEQD Y14, Y14, Y14")
	a.f("VPSRLD $28, Y14, Y14") // 15 in each lane
	block, pair := a.newLabel("block"), a.newLabel("pair")
	a.label(block)
	a.f("MOVQ BX, SI")
	a.f("MOVQ $16, R8")
	a.label(pair)
	for h := range 2 {
		a.f("VMOVUPS %d(SI), Y0", h*32)
		for v := range 4 {
			for odd := range 2 {
				t := 1 + 2*v + odd
				a.f("VPSRLD $%d, Y0, Y%d", 4*v+16*odd, t)
				a.f("VPAND Y14, Y%[1]d, Y%[1]d", t)
				a.f("VPSUBD Y15, Y%[1]d, Y%[1]d", t)
				a.f("VCVTDQ2PS Y%[1]d, Y%[1]d", t)
				a.f("VMOVUPS Y%d, %d(DI)", t, (1-odd)*256+v*64+h*32)
			}
		}
	}
	a.f("ADDQ $64, SI")
	a.f("ADDQ $512, DI")
	a.f("DECQ R8")
	a.f("JNZ %s", pair)
	a.f("ADDQ DX, BX")
	a.f("DECQ CX")
	a.f("JNZ %s", block)
	a.end()
}

// decodeQ8F32 is decodeQ4F32 for codes of eight bits.
func decodeQ8F32(a *asm) {
	a.decodeStart("decodeQ8F32", false)
	block, pair := a.newLabel("block"), a.newLabel("pair")
	a.label(block)
	a.f("MOVQ BX, SI")
	a.f("MOVQ $16, R8")
	a.label(pair)
	for g := range 8 {
		a.f("VPMOVSXBW %d(SI), Y0", g*16)
		a.f("VPSLLD $16, Y0, Y1")
		a.f("VPSRAD $16, Y0, Y0")
		a.f("VPSRAD $16, Y1, Y1")
		a.f("VCVTDQ2PS Y0, Y0")
		a.f("VCVTDQ2PS Y1, Y1")
		a.f("VMOVUPS Y0, %d(DI)", g*32)
		a.f("VMOVUPS Y1, %d(DI)", 256+g*32)
	}
	a.f("ADDQ $128, SI")
	a.f("ADDQ $512, DI")
	a.f("DECQ R8")
	a.f("JNZ %s", pair)
	a.f("ADDQ DX, BX")
	a.f("DECQ CX")
	a.f("JNZ %s", block)
	a.end()
}

// widenPairs widens count pairs of k (stride bytes apart, vectors x 16 columns)
// of a bf16 panel to f32 [2*count][64], the odd k of a pair first. 256 bits.
func widenPairs(a *asm) {
	a.decodeStart("widenPairs", false)
	a.f("VPCMPEQD Y15, Y15, Y15")
	a.f("VPSLLD $16, Y15, Y15")
	pair, vec := a.newLabel("pair"), a.newLabel("vector")
	a.label(pair)
	a.f("MOVQ BX, SI")
	a.f("MOVQ DI, R9")
	a.f("MOVQ %d(AX), R8", decVectors)
	a.label(vec)
	for h := range 2 {
		a.f("VMOVUPS %d(SI), Y0", h*32)
		a.f("VPAND Y15, Y0, Y1")
		a.f("VPSLLD $16, Y0, Y0")
		a.f("VMOVUPS Y1, %d(R9)", h*32)
		a.f("VMOVUPS Y0, %d(R9)", 256+h*32)
	}
	a.f("ADDQ $64, SI")
	a.f("ADDQ $64, R9")
	a.f("DECQ R8")
	a.f("JNZ %s", vec)
	a.f("ADDQ DX, BX")
	a.f("ADDQ $512, DI")
	a.f("DECQ CX")
	a.f("JNZ %s", pair)
	a.end()
}

// widenRow widens count groups of 8 bf16 to f32, the odd of each pair first.
func widenRow(a *asm) {
	a.decodeStart("widenRow", false)
	loop := a.newLabel("loop")
	a.label(loop)
	a.f("VPMOVZXWD (BX), Y0")
	a.f("VPSLLD $16, Y0, Y0")
	a.f("VPSHUFD $0xb1, Y0, Y0")
	a.f("VMOVUPS Y0, (DI)")
	a.f("ADDQ $16, BX")
	a.f("ADDQ $32, DI")
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	a.end()
}
