package main

import (
	"bytes"
	"fmt"
)

// An outer tile: dst[mr, nv vectors] += sum over t of a[t, mr] * b[t, ...].
// In tileArgs: c, ldc the destination; a, lda and b, ldb the two sides, strides
// from t to t+1; k the count of t.
var (
	outerZRows, outerZVecs = []int{1, 2, 4, 8}, []int{1, 3}
	outerYRows, outerYVecs = []int{1, 2, 4}, []int{2}
)

func outerName(reg, side string, mr, nv int) string {
	return fmt.Sprintf("outer%s%s_%dx%d", reg, side, mr, nv)
}

func outers(a *asm) {
	for _, side := range []string{"B", "F"} { // bf16 or f32 right side
		for _, nv := range outerZVecs {
			for _, mr := range outerZRows {
				outerTile(a, z32, side, mr, nv)
			}
		}
		for _, nv := range outerYVecs {
			for _, mr := range outerYRows {
				outerTile(a, y32, side, mr, nv)
			}
		}
	}
}

func outerTile(a *asm, fl flavour, side string, mr, nv int) {
	a.begin(outerName(fl.reg, side, mr, nv), "tileArgs", true)
	a.f("MOVQ %d(AX), SI", argA)
	a.f("MOVQ %d(AX), R8", argLDA)
	a.f("MOVQ %d(AX), BX", argB)
	a.f("MOVQ %d(AX), DX", argLDB)
	a.f("MOVQ %d(AX), CX", argK)
	a.f("MOVQ %d(AX), R15", argLDC)
	fl.eachC(a, mr, func(r int) {
		for v := range nv {
			a.f("VMOVUPS %d(DI), %s%d", v*fl.bytes, fl.reg, r*nv+v)
		}
	})
	loop := a.newLabel("loop")
	a.label(loop)
	b, x := mr*nv, mr*nv+nv
	a.f("PREFETCHT0 (BX)(DX*8)") // the hardware does not see such strides coming
	if nv*fl.bytes > 128 {
		a.f("PREFETCHT0 64(BX)(DX*8)")
	}
	for v := range nv {
		if side == "B" {
			a.f("VPMOVZXWD %d(BX), %s%d", v*fl.bytes/2, fl.reg, b+v)
			a.f("VPSLLD $16, %s%[2]d, %[1]s%[2]d", fl.reg, b+v)
		} else {
			a.f("VMOVUPS %d(BX), %s%d", v*fl.bytes, fl.reg, b+v)
		}
	}
	for r := range mr {
		t := x + r&1
		a.f("VBROADCASTSS %d(SI), %s%d", r*4, fl.reg, t)
		for v := range nv {
			a.f("VFMADD231PS %[1]s%[2]d, %[1]s%[3]d, %[1]s%[4]d", fl.reg, b+v, t, r*nv+v)
		}
	}
	a.f("ADDQ R8, SI")
	a.f("ADDQ DX, BX")
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	fl.eachC(a, mr, func(r int) {
		for v := range nv {
			a.f("VMOVUPS %s%d, %d(DI)", fl.reg, r*nv+v, v*fl.bytes)
		}
	})
	a.end()
}

// tables lists all tiles for Go.
func tables(b *bytes.Buffer) {
	for _, fl := range []flavour{dp, z32, y32} {
		tileTables(b, fl)
	}
	groupTables(b)
	shareTable(b)
	b.WriteString("// fusedTiles by format, then by rows.\nvar fusedTiles = [numFormats][6]func(*tileArgs){\n")
	for _, kind := range []string{kindQ4, kindQ4Min, kindQ8} {
		fmt.Fprintf(b, "Format%s: {", kind)
		for mr := 1; mr <= fusedRows; mr++ {
			fmt.Fprintf(b, "%d: %s, ", mr, fusedName(kind, mr))
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n\n")
	tallTable(b)
	for _, fl := range []flavour{z32, y32} {
		rows, vecs := outerZRows, outerZVecs
		if fl.reg == "Y" {
			rows, vecs = outerYRows, outerYVecs
		}
		fmt.Fprintf(b, "// outerTiles%s by mode of the right side, vectors and rows.\nvar outerTiles%s = [2][4][9]func(*tileArgs){\n", fl.name, fl.name)
		for _, side := range []string{"B", "F"} {
			fmt.Fprintf(b, "%s: {", map[string]string{"B": "BF16", "F": "F32"}[side])
			for _, nv := range vecs {
				fmt.Fprintf(b, "%d: {", nv)
				for _, mr := range rows {
					fmt.Fprintf(b, "%d: %s, ", mr, outerName(fl.reg, side, mr, nv))
				}
				b.WriteString("},\n")
			}
			b.WriteString("},\n")
		}
		b.WriteString("}\n\n")
	}
	rowTables(b)
}
