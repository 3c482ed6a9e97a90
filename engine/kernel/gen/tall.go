package main

import (
	"bytes"
	"fmt"
)

// A tall tile multiplies 6 to 11 rows with half a panel, 32 columns: each code is
// decoded once for all of them. A fused tile has room for 5 rows of 64 columns, so
// that eight sequences which decode would have every code decoded twice.

const (
	tallLow, tallRows = 6, 11 // heights
	tallVecs          = 2
)

// Registers of tall tiles above the sums.
const (
	tallX0            = 22 // a row's values, two in turns
	tallW             = 24 // decoded weights: a vector each of this pair of k and of the next
	tallCodes, tallT0 = 28, 28
	tallShift0        = 29 // by which the words of codes are shifted, for each vector
)

func tallName(kind string, mr int) string { return fmt.Sprintf("tall%s_%d", kind, mr) }

func talls(a *asm) {
	for _, kind := range []string{kindQ4, kindQ4Min, kindQ8} {
		for mr := tallLow; mr <= tallRows; mr++ {
			tall(a, kind, mr)
		}
	}
}

// tall emits one tile. Two streams of memory are prefetched, argAhead and
// argAhead2, the second followed by what argQueue lists: while both halves of a panel are multiplied, as many bytes of each as
// the panel has.
func tall(a *asm, kind string, mr int) {
	const nv, unroll = tallVecs, 4
	fl := dp
	a.begin(tallName(kind, mr), "tileArgs", true)
	loadA(a, mr)
	a.f("MOVQ %d(AX), BX", argB)
	a.f("MOVQ %d(AX), R12", argAhead)
	a.f("MOVQ %d(AX), R14", argAhead2)
	a.f("MOVQ %d(AX), R15", argLDC)
	if kind == kindQ4Min {
		a.f("MOVQ %d(AX), R13", argSums)
	}
	if kind != kindQ8 {
		a.f("MOVQ %d(AX), CX", argTable)
		a.f("VMOVUPS (CX), Z%d", regTable)
		a.f("VPBROADCASTW %d(AX), Z%d", argShift, tallShift0)
		a.f("VPBROADCASTW %d(AX), Z%d", argShift+2, tallShift0+1)
	}
	block, loop := a.newLabel("block"), a.newLabel("loop")
	fl.clearC(a, mr, nv)
	a.label(block)
	for _, emit := range tallDecode(kind, 0, 0) {
		emit(a)
	}
	fl.zero(a, mr*nv)
	a.f("MOVQ $%d, CX", 16/unroll)
	a.label(loop)
	pair := codeBytes(kind) / 16
	ahead := func(bytes int) {
		for off := 0; off < bytes; off += 64 {
			a.f("PREFETCHT0 %d(R12)", off)
			a.f("PREFETCHT0 %d(R14)", off)
		}
		a.f("ADDQ $%d, R12", bytes)
		a.f("ADDQ $%d, R14", bytes)
	}
	ahead(unroll * pair / 2)
	for u := range unroll {
		// The next pair is decoded between this one's multiplies; after the last of a
		// block in vain, from its scales.
		decoding := tallDecode(kind, (u+1)*pair, (u+1)&1)
		done := 0
		for r := range mr {
			x := tallX0 + r&1
			a.f("VPBROADCASTD %s, Z%d", rowAt(r, u*4), x)
			for v := range nv {
				a.dpbf16(tallW+u&1*nv+v, x, r*nv+v)
			}
			for ; done < (r+1)*len(decoding)/mr; done++ {
				decoding[done](a)
			}
		}
	}
	advanceA(a, mr, unroll*4)
	a.f("ADDQ $%d, BX", unroll*pair)
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	a.f("MOVQ BX, DX")
	a.f("ADDQ %d(AX), DX", argLDS)
	fl.scaleBlock(a, mr, nv, scales{min: kind == kindQ4Min})
	ahead(tailBytes(kind) / 2)
	a.f("ADDQ $%d, BX", tailBytes(kind))
	within := a.newLabel("within")
	a.f("CMPQ R12, %d(AX)", argLimit)
	a.f("JCS %s", within)
	a.f("MOVQ BX, R12") // all is asked for: from here on what is in the cache anyway
	a.label(within)
	within = a.newLabel("within")
	a.f("CMPQ R14, %d(AX)", argLimit2)
	a.f("JCS %s", within)
	nextInQueue(a, "R14", argLimit2)
	a.label(within)
	if kind == kindQ4Min {
		a.f("ADDQ $4, R13")
	}
	a.f("DECQ %d(AX)", argK)
	a.f("JNZ %s", block)
	a.end()
}

// tallDecode decodes both vectors of a pair of k to bf16, into the registers of
// even or odd pairs: one instruction a function.
func tallDecode(kind string, off, odd int) (emit []func(*asm)) {
	f := func(format string, args ...any) { emit = append(emit, func(a *asm) { a.f(format, args...) }) }
	if kind != kindQ8 {
		f("VMOVUPS %d(BX), Z%d", off, tallCodes)
	}
	for v := range tallVecs {
		w := tallW + odd*tallVecs + v
		if kind != kindQ8 {
			f("VPSRLVW Z%d, Z%d, Z%d", tallShift0+v, tallCodes, w)
			continue
		}
		t := tallT0 + v
		f("VPMOVSXBD %d(BX), Z%d", off+v*32, w)
		f("VPMOVSXBD %d(BX), Z%d", off+v*32+16, t)
		f("VCVTDQ2PS Z%[1]d, Z%[1]d", w)
		f("VCVTDQ2PS Z%[1]d, Z%[1]d", t)
		emit = append(emit, func(a *asm) { a.cvt2bf16(w, t, w) })
	}
	for v := range tallVecs {
		if w := tallW + odd*tallVecs + v; kind != kindQ8 {
			f("VPERMW Z%d, Z%d, Z%d", regTable, w, w)
		}
	}
	return emit
}

// tallTable lists the tiles by format, then by rows.
func tallTable(b *bytes.Buffer) {
	fmt.Fprintf(b, "// tallTiles by format, then by rows.\nvar tallTiles = [numFormats][%d]func(*tileArgs){\n", tallRows+1)
	for _, kind := range []string{kindQ4, kindQ4Min, kindQ8} {
		fmt.Fprintf(b, "Format%s: {", kind)
		for mr := tallLow; mr <= tallRows; mr++ {
			fmt.Fprintf(b, "%d: %s, ", mr, tallName(kind, mr))
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n\n")
}
