package main

import "fmt"

// Offsets in streamArgs; a test checks them against the Go type.
const (
	strA, strB, strC, strK = 0, 32, 64, 72
	strStride, strScale    = 80, 88
	streamCount            = 4
)

// streams emits four products at once, each of a row, or of two that follow one
// another, with its own bf16 panel of 16 columns: one alone would wait for its
// chain. The results are scaled and rounded.
func streams(a *asm) {
	for rows := 1; rows <= 2; rows++ {
		streamTile(a, rows)
	}
}

func streamTile(a *asm, rows int) {
	as, bs, at := []string{"SI", "DI", "R8", "R9"}, []string{"BX", "DX", "R10", "R11"}, []string{"R12", "R15"}
	a.begin(fmt.Sprintf("streamsBF16_%d", rows), "streamArgs", false)
	for i := range streamCount {
		a.f("MOVQ %d(AX), %s", strA+8*i, as[i])
		a.f("MOVQ %d(AX), %s", strB+8*i, bs[i])
	}
	a.f("MOVQ %d(AX), CX", strK)
	a.f("XORQ R12, R12") // in the first rows
	if rows == 2 {
		a.f("MOVQ %d(AX), R15", strStride) // in the second
	}
	a.f("XORQ R13, R13") // in the panels
	dp.zero(a, rows*streamCount)
	panel, left := rows*streamCount, (rows+1)*streamCount // registers
	loop := a.newLabel("loop")
	a.label(loop)
	for i := range streamCount {
		a.f("VMOVUPS (%s)(R13*1), Z%d", bs[i], panel+i)
		for r := range rows {
			n := i*rows + r
			a.f("VPBROADCASTD (%s)(%s*1), Z%d", as[i], at[r], left+n)
			a.dpbf16(panel+i, left+n, n)
		}
	}
	for r := range rows {
		a.f("ADDQ $4, %s", at[r])
	}
	a.f("ADDQ $64, R13")
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	a.f("MOVQ %d(AX), CX", strC)
	for i := range streamCount {
		a.f("VBROADCASTSS %d(AX), Z%d", strScale+4*i, panel)
		for r := range rows {
			n := i*rows + r
			a.f("VMULPS Z%[2]d, Z%[1]d, Z%[1]d", n, panel)
			a.cvtbf16(n, n)
			a.f("VMOVUPS Y%d, %d(CX)", n, n*32)
		}
	}
	a.end()
}
