package main

import (
	"bytes"
	"fmt"
)

// Grouped formats: codes of 4, 5 or 6 bits in groups of 8 k, scales elsewhere.
// The panel's layout is described beside the Go type grouping.

func groupBytes(high int) int { return (4 + high) * 64 }

// groups emits what the grouped formats need besides tiles and transposes.
func groups(a *asm) {
	for high := range 3 {
		decodeGroupBF16(a, high)
		decodeGroupF32(a, high, false)
		for mr := 1; mr <= fusedRows; mr++ {
			fusedGroup(a, high, false, mr)
			if high < 2 { // no format of 6 bits has minima
				fusedGroup(a, high, true, mr)
			}
		}
	}
	decodeGroupF32(a, 0, true)
	for _, reg := range []string{"Y", "Z"} {
		expandF16(a, reg)
		expandK(a, reg, false)
		expandK(a, reg, true)
		expandNF4(a, reg)
	}
}

// Registers of the 512-bit decoders besides regTable, regCodes and regTmp0, 1:
// the second half of a table of 64, the high bits, and which bits they are.
const regTable2, regHigh, regMask = 27, 26, 25

// loadGroupTable loads the bf16 table at decTable or argTable in CX.
func loadGroupTable(a *asm, high int) {
	a.f("VMOVUPS (CX), Z%d", regTable)
	if high == 2 {
		a.f("VMOVUPS 64(CX), Z%d", regTable2)
	}
	if high > 0 {
		a.f("MOVL $0x%08x, CX", []int{0, 0x00100010, 0x00300030}[high])
		a.f("VPBROADCASTD CX, Z%d", regMask)
	}
}

// groupPair loads the codes of pair p of the group at BX.
func groupPair(a *asm, high, p int) {
	a.f("VMOVUPS %d(BX), Z%d", p*64, regCodes)
	switch {
	case high == 1 && p == 0:
		a.f("VMOVUPS 256(BX), Z%d", regHigh)
	case high == 2 && p%2 == 0:
		a.f("VMOVUPS %d(BX), Z%d", 256+p/2*64, regHigh)
	}
}

// groupVector decodes vector v of pair p to bf16 and returns its register.
func groupVector(a *asm, high, p, v int) int {
	t, low := regTmp0, regCodes
	if high == 0 {
		t -= v & 1
	}
	if v > 0 {
		low = regTmp1
		if high == 0 {
			low = t
		}
		a.f("VPSRLW $%d, Z%d, Z%d", 4*v, regCodes, low)
	}
	if high == 0 {
		a.f("VPERMW Z%d, Z%d, Z%d", regTable, low, t)
		return t
	}
	bit := 4*p + v
	if high == 2 {
		bit = 8*(p%2) + 2*v
	}
	switch { // the high bits to bit 4
	case bit > 4:
		a.f("VPSRLW $%d, Z%d, Z%d", bit-4, regHigh, t)
	case bit < 4:
		a.f("VPSLLW $%d, Z%d, Z%d", 4-bit, regHigh, t)
	default:
		a.f("VMOVDQU64 Z%d, Z%d", regHigh, t)
	}
	a.f("VPTERNLOGD $0xe2, Z%d, Z%d, Z%d", low, regMask, t) // mask ? high : low; the lookup ignores what is above
	if high == 1 {
		a.f("VPERMW Z%d, Z%d, Z%d", regTable, t, t)
	} else {
		a.f("VPERMI2W Z%d, Z%d, Z%d", regTable2, regTable, t)
	}
	return t
}

// decodeGroupBF16 unpacks count groups to a bf16 panel of codes, [4 pairs][64][2]
// for each. 512 bits.
func decodeGroupBF16(a *asm, high int) {
	a.decodeStart(fmt.Sprintf("decodeGroup%dBF16", high), false)
	a.f("MOVQ CX, R8")
	a.f("MOVQ %d(AX), CX", decTable)
	loadGroupTable(a, high)
	loop := a.newLabel("loop")
	a.label(loop)
	for p := range 4 {
		groupPair(a, high, p)
		for v := range 4 {
			a.f("VMOVUPS Z%d, %d(DI)", groupVector(a, high, p, v), p*256+v*64)
		}
	}
	a.f("ADDQ $%d, BX", groupBytes(high))
	a.f("ADDQ $1024, DI")
	a.f("DECQ R8")
	a.f("JNZ %s", loop)
	a.end()
}

// decodeGroupF32 unpacks count groups to f32 codes minus bias, [8][64] for each,
// the odd k of a pair before the even one; with lookup, to entries of the f32
// table of 16. 256 bits.
func decodeGroupF32(a *asm, high int, lookup bool) {
	name := fmt.Sprintf("decodeGroup%dF32", high)
	if lookup {
		name = "decodeLookupF32"
	}
	a.decodeStart(name, false)
	a.f("VPBROADCASTD %d(AX), Y15", decBias)
	a.f("VPCMPEQD Y14, Y14, Y14")
	a.f("VPSRLD $28, Y14, Y14") // 15 in each lane
	if high > 0 {
		a.f("VPCMPEQD Y13, Y13, Y13")
		a.f("VPSRLD $%d, Y13, Y13", 32-high)
		a.f("VPSLLD $4, Y13, Y13") // the high bits' place
	}
	if lookup {
		a.f("MOVQ %d(AX), SI", decTable)
		a.f("VMOVUPS (SI), Y12")
		a.f("VMOVUPS 32(SI), Y11")
	}
	loop := a.newLabel("loop")
	a.label(loop)
	for p := range 4 {
		for h := range 2 {
			a.f("VMOVUPS %d(BX), Y0", p*64+h*32)
			switch high {
			case 1:
				a.f("VMOVUPS %d(BX), Y10", 256+h*32)
			case 2:
				a.f("VMOVUPS %d(BX), Y10", 256+p/2*64+h*32)
			}
			for v := range 4 {
				for odd := range 2 {
					t := 1 + odd
					a.f("VPSRLD $%d, Y0, Y%d", 4*v+16*odd, t)
					if !lookup {
						a.f("VPAND Y14, Y%[1]d, Y%[1]d", t)
					}
					if high > 0 {
						bit := 4*p + v + 16*odd
						if high == 2 {
							bit = 8*(p%2) + 2*v + 16*odd
						}
						if bit >= 4 {
							a.f("VPSRLD $%d, Y10, Y%d", bit-4, 3+odd)
						} else {
							a.f("VPSLLD $%d, Y10, Y%d", 4-bit, 3+odd)
						}
						a.f("VPAND Y13, Y%[1]d, Y%[1]d", 3+odd)
						a.f("VPOR Y%[1]d, Y%[2]d, Y%[2]d", 3+odd, t)
					}
					if lookup { // three bits index each half, the fourth chooses between them
						a.f("VPERMPS Y12, Y%d, Y%d", t, 5+odd)
						a.f("VPERMPS Y11, Y%d, Y%d", t, 7+odd)
						a.f("VPSLLD $28, Y%[1]d, Y%[1]d", t)
						a.f("VBLENDVPS Y%d, Y%d, Y%d, Y%d", t, 7+odd, 5+odd, t)
					} else {
						a.f("VPSUBD Y15, Y%[1]d, Y%[1]d", t)
						a.f("VCVTDQ2PS Y%[1]d, Y%[1]d", t)
					}
					a.f("VMOVUPS Y%d, %d(DI)", t, p*512+(1-odd)*256+v*64+h*32)
				}
			}
		}
	}
	a.f("ADDQ $%d, BX", groupBytes(high))
	a.f("ADDQ $2048, DI")
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	a.end()
}

func fusedGroupName(high int, min bool, mr int) string {
	if min {
		return fmt.Sprintf("fusedGroup%dMin_%d", high, mr)
	}
	return fmt.Sprintf("fusedGroup%d_%d", high, mr)
}

// fusedGroup is the multiply of a few rows: argLoops groups to a block, whose f32
// scales are at argScale, argLDS from block to block.
func fusedGroup(a *asm, high int, min bool, mr int) {
	const nv = 4
	fl, sc := dp, scales{min: min, wide: true}
	a.begin(fusedGroupName(high, min, mr), "tileArgs", true)
	loadA(a, mr)
	a.f("MOVQ %d(AX), BX", argB)
	a.f("MOVQ %d(AX), R15", argLDC)
	a.f("MOVQ %d(AX), DX", argScale)
	if min {
		a.f("MOVQ %d(AX), R13", argSums)
	}
	a.f("MOVQ %d(AX), CX", argTable)
	loadGroupTable(a, high)
	block, loop := a.newLabel("block"), a.newLabel("loop")
	fl.clearC(a, mr, nv)
	a.label(block)
	fl.zero(a, mr*nv)
	a.f("MOVQ %d(AX), CX", argLoops)
	a.label(loop)
	for off := 0; off < groupBytes(high); off += 64 {
		a.f("PREFETCHT0 %d(BX)", off+fusedAhead)
	}
	for p := range 4 {
		x := mr * nv
		for r := range mr {
			a.f("VPBROADCASTD %s, Z%d", rowAt(r, p*4), x+r)
		}
		groupPair(a, high, p)
		for v := range nv {
			w := groupVector(a, high, p, v)
			for r := range mr {
				a.dpbf16(w, x+r, r*nv+v)
			}
		}
	}
	advanceA(a, mr, 16)
	a.f("ADDQ $%d, BX", groupBytes(high))
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	fl.scaleBlock(a, mr, nv, sc)
	a.f("ADDQ %d(AX), DX", argLDS)
	if min {
		a.f("ADDQ $4, R13")
	}
	a.f("DECQ %d(AX)", argK)
	a.f("JNZ %s", block)
	a.end()
}

func vecBytes(reg string) int {
	if reg == "Z" {
		return 64
	}
	return 32
}

// expandF16 widens count rows of 64 f16 to f32.
func expandF16(a *asm, reg string) {
	n := vecBytes(reg)
	a.decodeStart("expandF16"+reg, false)
	loop := a.newLabel("loop")
	a.label(loop)
	for o := 0; o < 256; o += n {
		a.f("VCVTPH2PS %d(BX), %s0", o/2, reg)
		a.f("VMOVUPS %s0, %d(DI)", reg, o)
	}
	a.f("ADDQ $128, BX")
	a.f("ADDQ $256, DI")
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	a.end()
}

// expandK multiplies the factors (bytes) of count blocks at src by the f16 scales
// at table, which belong to stride blocks each, vectors blocks of the first being
// left. With minima, factors are unsigned and each row of scales is followed by
// one of minima, which come out negative.
func expandK(a *asm, reg string, min bool) {
	n := vecBytes(reg)
	name, widen, rows := "expandK", "VPMOVSXBD", 1
	if min {
		name, widen, rows = "expandKMin", "VPMOVZXBD", 2
	}
	a.decodeStart(name+reg, false)
	a.f("MOVQ %d(AX), SI", decTable)
	a.f("MOVQ %d(AX), R8", decVectors)
	if min {
		a.f("VPCMPEQD Y15, Y15, Y15")
		a.f("VPSLLD $31, Y15, Y15")
		if reg == "Z" {
			a.f("VSHUFF64X2 $0, Z15, Z15, Z15")
		}
	}
	loop, same := a.newLabel("loop"), a.newLabel("same")
	xor := "VXORPS"
	a.label(loop)
	for r := range rows {
		for o := 0; o < 256; o += n {
			a.f("%s %d(BX), %s0", widen, r*64+o/4, reg)
			a.f("VCVTDQ2PS %[1]s0, %[1]s0", reg)
			a.f("VCVTPH2PS %d(SI), %s1", r*128+o/2, reg)
			a.f("VMULPS %[1]s1, %[1]s0, %[1]s0", reg)
			if r == 1 {
				a.f("%s %[2]s15, %[2]s0, %[2]s0", xor, reg)
			}
			a.f("VMOVUPS %s0, %d(DI)", reg, r*256+o)
		}
	}
	a.f("ADDQ $%d, BX", rows*64)
	a.f("ADDQ $%d, DI", rows*256)
	a.f("DECQ R8")
	a.f("JNZ %s", same)
	a.f("ADDQ $%d, SI", rows*128)
	a.f("MOVQ DX, R8")
	a.label(same)
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	a.end()
}

// Offsets in nestedArgs; a test checks them against the Go type.
const (
	nestDst, nestSrc, nestCode, nestScale = 0, 8, 16, 24
	nestCount, nestFirst, nestIndex       = 32, 40, 48
	nestOffset, nestLast                  = 56, 60
)

// expandNF4 looks up the scales of count blocks: code[byte] * scale[group] +
// offset, each rounded; group = min((index[column]+first) >> 8, last), first
// counting up.
func expandNF4(a *asm, reg string) {
	n := vecBytes(reg)
	a.begin("expandNF4"+reg, "nestedArgs", false)
	a.f("MOVQ %d(AX), DI", nestDst)
	a.f("MOVQ %d(AX), BX", nestSrc)
	a.f("MOVQ %d(AX), R8", nestCode)
	a.f("MOVQ %d(AX), R9", nestScale)
	a.f("MOVQ %d(AX), CX", nestCount)
	a.f("MOVQ %d(AX), SI", nestIndex)
	a.f("VPBROADCASTD %d(AX), %s15", nestFirst, reg)
	a.f("VBROADCASTSS %d(AX), %s14", nestOffset, reg)
	a.f("VPBROADCASTD %d(AX), %s13", nestLast, reg)
	a.f("MOVL $1, DX")
	a.f("VMOVD DX, X12")
	a.f("VPBROADCASTD X12, %s12", reg)
	gather := func(base, idx, dst string) {
		if reg == "Z" {
			a.f("KXNORW K1, K1, K1")
			a.f("VGATHERDPS (%s)(%s*4), K1, %s", base, idx, dst)
			return
		}
		a.f("VPCMPEQD Y11, Y11, Y11")
		a.f("VGATHERDPS Y11, (%s)(%s*4), %s", base, idx, dst)
	}
	loop := a.newLabel("loop")
	a.label(loop)
	for o := 0; o < 256; o += n {
		a.f("VPMOVZXBD %d(BX), %s0", o/4, reg)
		a.f("VPADDD %d(SI), %[2]s15, %[2]s1", o, reg)
		a.f("VPSRLD $8, %[1]s1, %[1]s1", reg)
		a.f("VPMINUD %[1]s13, %[1]s1, %[1]s1", reg)
		gather("R8", reg+"0", reg+"2")
		gather("R9", reg+"1", reg+"3")
		a.f("VMULPS %[1]s3, %[1]s2, %[1]s2", reg)
		a.f("VADDPS %[1]s14, %[1]s2, %[1]s2", reg)
		a.f("VMOVUPS %s2, %d(DI)", reg, o)
	}
	a.f("VPADDD %[1]s12, %[1]s15, %[1]s15", reg)
	a.f("ADDQ $64, BX")
	a.f("ADDQ $256, DI")
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	a.end()
}

// groupTables lists the functions of the grouped formats for Go.
func groupTables(b *bytes.Buffer) {
	b.WriteString("// fusedGroups by high bits, minima and rows.\nvar fusedGroups = [3][2][6]func(*tileArgs){\n")
	for high := range 3 {
		b.WriteString("{")
		for i, min := range []bool{false, true} {
			if min && high == 2 {
				continue
			}
			fmt.Fprintf(b, "%d: {", i)
			for mr := 1; mr <= fusedRows; mr++ {
				fmt.Fprintf(b, "%d: %s, ", mr, fusedGroupName(high, min, mr))
			}
			b.WriteString("},\n")
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n\n")
}
