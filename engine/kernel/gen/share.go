package main

import (
	"bytes"
	"fmt"
)

const shareRows = 6 // most rows of a share tile

func shareName(mr int) string { return fmt.Sprintf("shareBF16_%d", mr) }

// shares emits c[mr, panels * 64] += a·b for bf16 panels that follow one another,
// argLoops of them: a low-rank share is so short along k that a call for each
// panel would cost more than the multiply. Its memory was fetched meanwhile by the
// multiply with W.
func shares(a *asm) {
	for mr := 1; mr <= shareRows; mr++ {
		shareTile(a, mr)
	}
}

func shareTile(a *asm, mr int) {
	const nv, step = 4, 256
	fl := dp
	a.begin(shareName(mr), "tileArgs", false)
	a.f("MOVQ %d(AX), BX", argB)
	a.f("MOVQ %d(AX), R15", argLDC)
	// What moves from panel to panel stays in registers: a pointer in the arguments
	// that has passed the end of c would be found there by the garbage collector.
	a.f("MOVQ %d(AX), R12", argC)
	a.f("MOVQ %d(AX), DX", argLoops)
	eachC := func(emit func(r int)) {
		a.f("MOVQ R12, DI")
		for r := range mr {
			emit(r)
			if r < mr-1 {
				a.f("ADDQ R15, DI")
			}
		}
	}
	panel, loop := a.newLabel("panel"), a.newLabel("loop")
	a.label(panel)
	loadA(a, mr)
	a.f("MOVQ %d(AX), CX", argK)
	eachC(func(r int) {
		for v := range nv {
			a.f("VMOVUPS %d(DI), Z%d", v*64, r*nv+v)
		}
	})
	a.label(loop)
	fl.step(a, mr, nv, 0, 0)
	a.f("ADDQ $%d, BX", step)
	advanceA(a, mr, 4)
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	eachC(func(r int) {
		for v := range nv {
			a.f("VMOVUPS Z%d, %d(DI)", r*nv+v, v*64)
		}
	})
	a.f("ADDQ $256, R12")
	a.f("DECQ DX")
	a.f("JNZ %s", panel)
	a.end()
}

// prefetch asks for that many bytes, fusedAhead bytes on in b.
func prefetch(a *asm, size int) {
	prefetchAt(a, "BX", fusedAhead, size)
}

func prefetchAt(a *asm, base string, from, size int) {
	for off := from; off < from+size; off += 64 {
		a.f("PREFETCHT0 %d(%s)", off, base)
	}
}

// shareTable lists the share tiles by rows.
func shareTable(b *bytes.Buffer) {
	fmt.Fprintf(b, "// shareTiles by rows.\nvar shareTiles = [%d]func(*tileArgs){", shareRows+1)
	for mr := 1; mr <= shareRows; mr++ {
		fmt.Fprintf(b, "%d: %s, ", mr, shareName(mr))
	}
	b.WriteString("}\n\n")
}
