package main

import "strings"

// How transpose8 treats the values on their way.
const (
	t8Plain = "Plain" // f32 weights
	t8Pairs = "Pairs" // widened bf16 weights: rows come and go with the odd one of a pair first
	t8Scale = "Scale" // codes: times the scale, rounded to bf16, in pairs
	t8Min   = "Min"   // codes: times the scale plus the minimum, rounded, in pairs
	t8Wide  = "Wide"  // added to the two above: f32 scales
)

// transposes8 emits, for the sets without bf16 instructions, the functions that
// turn decoded weights [k][n] (f32) into f32 panels of Wᵀ. 256 bits.
func transposes8(a *asm) {
	for _, kind := range []string{t8Plain, t8Pairs, t8Scale, t8Min, t8Scale + t8Wide, t8Min + t8Wide} {
		transpose8(a, kind)
	}
}

// transpose8: count groups of 8 rows k, stride bytes apart, of vectors x 8
// columns n, to rows n of 256 bytes. table points at the block's scales.
func transpose8(a *asm, kind string) {
	name := kind
	kind, wide := strings.CutSuffix(kind, t8Wide)
	sc := scales{min: kind == t8Min, wide: wide}
	swap := 0
	if kind != t8Plain {
		swap = 1
	}
	round := kind == t8Scale || kind == t8Min
	a.decodeStart("transpose8"+name, round)
	a.f("LEAQ (DX)(DX*2), R9")
	group, vec := a.newLabel("group"), a.newLabel("vector")
	a.label(group)
	a.f("MOVQ BX, SI")
	a.f("MOVQ DI, R10")
	a.f("MOVQ %d(AX), R11", decTable)
	a.f("MOVQ %d(AX), R8", decVectors)
	a.label(vec)
	a.f("LEAQ (SI)(DX*4), R12")
	if round {
		sc.load(a, "R11", "Y14", 32, 0, false)
	}
	if kind == t8Min {
		sc.load(a, "R11", "Y15", 32, 0, true)
	}
	for i := range 8 {
		row := i ^ swap
		base := "SI"
		if row >= 4 {
			base = "R12"
		}
		at := []string{"(" + base + ")", "(" + base + ")(DX*1)", "(" + base + ")(DX*2)", "(" + base + ")(R9*1)"}[row%4]
		switch kind {
		case t8Scale:
			a.f("VMULPS %s, Y14, Y%d", at, i)
		case t8Min:
			a.f("VMOVUPS %s, Y%d", at, i)
			a.f("VFMADD213PS Y15, Y14, Y%d", i)
		default:
			a.f("VMOVUPS %s, Y%d", at, i)
		}
		if round {
			a.roundInPlace(i)
		}
	}
	a.transpose8x8(swap)
	a.f("ADDQ $32, SI")
	if wide {
		a.f("ADDQ $32, R11")
	} else {
		a.f("ADDQ $16, R11")
	}
	a.f("ADDQ $2048, R10")
	a.f("DECQ R8")
	a.f("JNZ %s", vec)
	a.f("LEAQ (BX)(DX*8), BX")
	a.f("ADDQ $32, DI")
	a.f("DECQ CX")
	a.f("JNZ %s", group)
	a.end()
}

// roundInPlace rounds Yr to bf16, nearest even, kept as f32. Uses Y12.
func (a *asm) roundInPlace(r int) {
	c := func(i int) string { return sprint("transpose8Const<>+%d(SB)", i*32) }
	a.f("VPSRLD $16, Y%d, Y12", r)
	a.f("VPAND %s, Y12, Y12", c(0))
	a.f("VPADDD %s, Y12, Y12", c(1))
	a.f("VPADDD Y12, Y%[1]d, Y%[1]d", r)
	a.f("VPAND %s, Y%[2]d, Y%[2]d", c(2), r)
}

// transpose8x8 stores the transpose of Y0-Y7 at R10, 256 bytes from row to row.
func (a *asm) transpose8x8(swap int) {
	for i := range 4 {
		a.f("VUNPCKLPS Y%d, Y%d, Y%d", 2*i+1, 2*i, 8+i)
		a.f("VUNPCKHPS Y%d, Y%d, Y%d", 2*i+1, 2*i, 2*i) // high parts in even registers
	}
	// Rows 0-3 in Y8, Y9 (low) and Y0, Y2 (high); rows 4-7 in Y10, Y11 and Y4, Y6.
	quad := func(even, odd, lo, hi int) {
		a.f("VUNPCKLPD Y%d, Y%d, Y%d", odd, even, lo)
		a.f("VUNPCKHPD Y%d, Y%d, Y%d", odd, even, hi)
	}
	quad(8, 9, 1, 3)   // columns 0|4, 1|5 of rows 0-3
	quad(10, 11, 5, 7) // of rows 4-7
	quad(0, 2, 8, 9)   // columns 2|6, 3|7 of rows 0-3
	quad(4, 6, 10, 11) // of rows 4-7
	for c, r := range [][2]int{{1, 5}, {3, 7}, {8, 10}, {9, 11}} {
		a.f("VPERM2F128 $0x20, Y%d, Y%d, Y0", r[1], r[0])
		a.f("VPERM2F128 $0x31, Y%d, Y%d, Y2", r[1], r[0])
		a.f("VMOVUPS Y0, %d(R10)", (c^swap)*256)
		a.f("VMOVUPS Y2, %d(R10)", ((c+4)^swap)*256)
	}
}

func transpose8Consts(a *asm) {
	a.f("")
	for i, bits := range []uint32{1, 0x7fff, 0xffff0000} {
		for o := 0; o < 32; o += 8 {
			a.f("DATA transpose8Const<>+%d(SB)/8, $0x%08x%08x", i*32+o, bits, bits)
		}
	}
	a.f("GLOBL transpose8Const<>(SB), RODATA|NOPTR, $96")
}
