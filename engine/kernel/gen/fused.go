package main

import "fmt"

// Quantised kinds of the fused and decoding functions.
const (
	kindQ4    = "Q4"
	kindQ4Min = "Q4Min"
	kindQ8    = "Q8"
)

// Bytes of a block's codes, and of what follows them.
func codeBytes(kind string) int {
	if kind == kindQ8 {
		return 2048
	}
	return 1024
}

func tailBytes(kind string) int {
	if kind == kindQ4Min {
		return 256
	}
	return 128
}

// fusedAhead is how far ahead weights are prefetched, in bytes.
const fusedAhead = 4096

const fusedRows = 5 // most rows of a fused tile: sums, row values and decoding fill the registers

func fusedName(kind string, mr int) string { return fmt.Sprintf("fused%s_%d", kind, mr) }

// fused emits the multiplies for few rows: codes are decoded in registers, so
// weights are read once, at their bit width. Meanwhile argAhead to argLimit is
// prefetched, and then what argQueue lists: as many bytes as weights are read.
func fused(a *asm) {
	for _, kind := range []string{kindQ4, kindQ4Min, kindQ8} {
		for mr := 1; mr <= fusedRows; mr++ {
			fusedTile(a, kind, mr)
		}
	}
}

const (
	regTable, regCodes, regTmp0, regTmp1 = 31, 30, 29, 28
)

func fusedTile(a *asm, kind string, mr int) {
	const nv, unroll = 4, 4
	fl := dp
	a.begin(fusedName(kind, mr), "tileArgs", true)
	loadA(a, mr)
	a.f("MOVQ %d(AX), BX", argB)
	a.f("MOVQ %d(AX), R12", argAhead)
	a.f("MOVQ %d(AX), R15", argLDC)
	if kind == kindQ4Min {
		a.f("MOVQ %d(AX), R13", argSums)
	}
	if kind != kindQ8 {
		a.f("MOVQ %d(AX), CX", argTable)
		a.f("VMOVUPS (CX), Z%d", regTable)
	}
	block, loop := a.newLabel("block"), a.newLabel("loop")
	fl.clearC(a, mr, nv)
	a.label(block)
	fl.zero(a, mr*nv)
	a.f("MOVQ $%d, CX", 16/unroll)
	a.label(loop)
	pair := codeBytes(kind) / 16
	prefetchAt(a, "R12", 0, unroll*pair)
	for u := range unroll {
		x := mr * nv
		for r := range mr {
			a.f("VPBROADCASTD %s, Z%d", rowAt(r, u*4), x+r)
		}
		if kind != kindQ8 {
			a.f("VMOVUPS %d(BX), Z%d", u*pair, regCodes)
		}
		for v := range nv {
			w := decodeVector(a, kind, u*pair, v)
			for r := range mr {
				a.dpbf16(w, x+r, r*nv+v)
			}
		}
	}
	advanceA(a, mr, unroll*4)
	a.f("ADDQ $%d, BX", unroll*pair)
	a.f("ADDQ $%d, R12", unroll*pair)
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	a.f("MOVQ BX, DX")
	fl.scaleBlock(a, mr, nv, scales{min: kind == kindQ4Min})
	prefetchAt(a, "R12", 0, tailBytes(kind))
	a.f("ADDQ $%d, BX", tailBytes(kind))
	a.f("ADDQ $%d, R12", tailBytes(kind))
	within := a.newLabel("within")
	a.f("CMPQ R12, %d(AX)", argLimit)
	a.f("JCS %s", within)
	nextInQueue(a, "R12", argLimit)
	a.label(within)
	if kind == kindQ4Min {
		a.f("ADDQ $4, R13")
	}
	a.f("DECQ %d(AX)", argK)
	a.f("JNZ %s", block)
	a.end()
}

// nextInQueue takes the next stretch of memory to prefetch from argQueue: its start
// to reg, its end to limit. It uses CX and DX.
func nextInQueue(a *asm, reg string, limit int) {
	a.f("MOVQ %d(AX), DX", argQueue)
	a.f("MOVQ (DX), %s", reg)
	a.f("MOVQ 8(DX), CX")
	a.f("MOVQ CX, %d(AX)", limit)
	a.f("ADDQ $16, DX")
	a.f("MOVQ DX, %d(AX)", argQueue)
}

// decodeVector decodes vector v of a pair of k to bf16 and returns its
// register. For 4-bit codes the pair's words are in regCodes.
func decodeVector(a *asm, kind string, off, v int) int {
	t := regTmp0 - v&1
	if kind == kindQ8 {
		a.f("VPMOVSXBD %d(BX), Z%d", off+v*32, t)
		a.f("VPMOVSXBD %d(BX), Z%d", off+v*32+16, regTable)
		a.f("VCVTDQ2PS Z%d, Z%d", t, t)
		a.f("VCVTDQ2PS Z%[1]d, Z%[1]d", regTable)
		a.cvt2bf16(t, regTable, t)
		return t
	}
	idx := regCodes
	if v > 0 {
		a.f("VPSRLW $%d, Z%d, Z%d", 4*v, regCodes, t)
		idx = t
	}
	// VPERMW uses five bits of an index; the table holds its 16 values twice.
	a.f("VPERMW Z%d, Z%d, Z%d", regTable, idx, t)
	return t
}
