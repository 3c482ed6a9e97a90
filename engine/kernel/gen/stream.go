package main

// Offsets in streamArgs; a test checks them against the Go type.
const (
	strA, strB, strC, strK = 0, 32, 64, 72
	streamCount            = 4
)

// streams emits four products of one row and 16 columns at once, each with its
// own row and its own bf16 panel: one alone would wait for its chain.
func streams(a *asm) {
	const ahead = 2048
	as, bs := []string{"SI", "DI", "R8", "R9"}, []string{"BX", "DX", "R10", "R11"}
	a.begin("streamsBF16", "streamArgs", false)
	for i := range streamCount {
		a.f("MOVQ %d(AX), %s", strA+8*i, as[i])
		a.f("MOVQ %d(AX), %s", strB+8*i, bs[i])
	}
	a.f("MOVQ %d(AX), CX", strK)
	a.f("XORQ R12, R12") // in a
	a.f("XORQ R13, R13") // in the panels
	dp.zero(a, streamCount)
	loop := a.newLabel("loop")
	a.label(loop)
	for i := range streamCount {
		a.f("PREFETCHT0 %d(%s)(R13*1)", ahead, bs[i])
		a.f("VMOVUPS (%s)(R13*1), Z%d", bs[i], streamCount+i)
		a.f("VPBROADCASTD (%s)(R12*1), Z%d", as[i], 2*streamCount+i)
		a.dpbf16(streamCount+i, 2*streamCount+i, i)
	}
	a.f("ADDQ $4, R12")
	a.f("ADDQ $64, R13")
	a.f("DECQ CX")
	a.f("JNZ %s", loop)
	a.f("MOVQ %d(AX), CX", strC)
	for i := range streamCount {
		a.f("VMOVUPS Z%d, %d(CX)", i, i*64)
	}
	a.end()
}
