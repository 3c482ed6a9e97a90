package main

import "bytes"

// Offsets of package ceiling's loopArgs.
const (
	loopTimes = 0
	loopSrc   = 8
	loopDst   = 16
	loopBytes = 24
)

// ceilings writes the loops of package ceiling: multiply-adds on registers, one
// chain a register, and streams of loads and of loads with stores.
func ceilings() (assembly, declarations []byte) {
	d := newDecls()
	a := newAsm(d)
	registers := func(name, reg string, chains int, step func(acc int)) {
		a.begin(name, "loopArgs", false)
		a.f("MOVQ %d(AX), CX", loopTimes)
		for i := range chains + 2 {
			if reg == "Z" {
				a.f("VPXORQ Z%[1]d, Z%[1]d, Z%[1]d", i)
			} else {
				a.f("VPXOR Y%[1]d, Y%[1]d, Y%[1]d", i)
			}
		}
		again := a.newLabel("again")
		a.label(again)
		for i := range chains {
			step(i)
		}
		a.f("DECQ CX")
		a.f("JNZ %s", again)
		a.end()
	}
	registers("dotBF16x32", "Z", 24, func(acc int) { a.dpbf16(24, 25, acc) })
	registers("fma32x16", "Z", 24, func(acc int) { a.f("VFMADD231PS Z24, Z25, Z%d", acc) })
	registers("fma32x8", "Y", 14, func(acc int) { a.f("VFMADD231PS Y14, Y15, Y%d", acc) })

	stream := func(name, reg string, width int, store bool) {
		a.begin(name, "loopArgs", false)
		a.f("MOVQ %d(AX), CX", loopTimes)
		again, next := a.newLabel("again"), a.newLabel("next")
		a.label(again)
		a.f("MOVQ %d(AX), SI", loopSrc)
		a.f("MOVQ %d(AX), DI", loopDst)
		a.f("MOVQ %d(AX), BX", loopBytes)
		a.label(next)
		n := 512 / width
		for i := range n {
			a.f("VMOVUPS %d(SI), %s%d", i*width, reg, i)
		}
		for i := range n {
			if store {
				a.f("VMOVUPS %s%d, %d(DI)", reg, i, i*width)
			}
		}
		a.f("ADDQ $512, SI")
		a.f("ADDQ $512, DI")
		a.f("SUBQ $512, BX")
		a.f("JNZ %s", next)
		a.f("DECQ CX")
		a.f("JNZ %s", again)
		a.end()
	}
	stream("read512", "Z", 64, false)
	stream("copy512", "Z", 64, true)
	stream("read256", "Y", 32, false)
	stream("copy256", "Y", 32, true)

	var b bytes.Buffer
	b.WriteString(header + "package ceiling\n")
	for _, n := range d.names {
		b.WriteString("\n//go:noescape\nfunc " + n + "(a *" + d.types[n] + ")\n")
	}
	return a.text(), b.Bytes()
}
