package main

import (
	"bytes"
	"fmt"
	"go/format"
)

// neonAsm collects one arm64 assembly file. Of arm64's vector instructions on
// floating-point numbers Go's assembler knows VFMLA and VFMLS, without the forms
// that multiply by one element, and none that compares, converts or narrows. So
// all vector arithmetic is encoded here, from the tables below (Arm Architecture
// Reference Manual, "Advanced SIMD"), and written as words with the instruction
// beside them as GNU objdump prints it. Loads, stores and integer registers are
// the assembler's.
//
// Only the baseline of ARMv8-A is used.
type neonAsm struct {
	asm
	list  *neonDecls
	flush bool // the current function has set flush-to-zero
}

// neonDecls collects the Go declarations of the arm64 functions.
type neonDecls struct {
	text   bytes.Buffer
	tables bytes.Buffer
}

func (d *neonDecls) file() []byte {
	src, err := format.Source([]byte(header + "package kernel\n\n" + d.text.String() + d.tables.String()))
	if err != nil {
		panic(err)
	}
	return src
}

func newNeon(d *neonDecls) *neonAsm {
	a := &neonAsm{list: d}
	a.buf.WriteString(header + "#include \"textflag.h\"\n")
	return a
}

// General registers that all functions use the same way.
const (
	rArgs = "R0"
	rTemp = "R24"
	rMode = "R25" // the caller's FPCR
)

// begin starts func name(a *argType). With flush, FPCR.FZ is set until end: a
// subnormal argument reads as zero, a result below the normal range becomes
// zero, and the function returns whether a result did (FPSR.UFC). That matters
// because arm64 decides "below" before rounding and x86 after it: they differ
// where a result rounds up to 2^-126. Callers do such a piece again in Go.
func (a *neonAsm) begin(name, argType string, flush bool) {
	a.flush = flush
	size, result := 8, ""
	if flush {
		size, result = 16, " (flushed uint64)"
	}
	fmt.Fprintf(&a.buf, "\n// func %s(a *%s)%s\nTEXT ·%s(SB), NOSPLIT, $0-%d\n", name, argType, result, name, size)
	fmt.Fprintf(&a.list.text, "//go:noescape\nfunc %s(a *%s)%s\n\n", name, argType, result)
	a.f("MOVD a+0(FP), %s", rArgs)
	if flush {
		a.f("MRS FPCR, %s", rMode)
		a.f("MOVD $0x1000000, %s", rTemp)
		a.f("MSR %s, FPCR", rTemp)
		a.f("MSR ZR, FPSR")
	}
}

// end returns; with store, what it writes is skipped if a result was flushed.
func (a *neonAsm) end(store func()) {
	if !a.flush {
		if store != nil {
			store()
		}
		a.f("RET")
		return
	}
	a.f("MRS FPSR, %s", rTemp)
	a.f("AND $8, %s", rTemp) // UFC
	a.f("MSR %s, FPCR", rMode)
	a.f("MOVD %s, flushed+8(FP)", rTemp)
	if store != nil {
		skip := a.newLabel("flushed")
		a.f("CBNZ %s, %s", rTemp, skip)
		store()
		a.label(skip)
	}
	a.f("RET")
}

// args loads fields of the argument struct.
func (a *neonAsm) args(fields ...any) {
	for i := 0; i < len(fields); i += 2 {
		a.f("MOVD %d(%s), %s", fields[i], rArgs, fields[i+1])
	}
}

func (a *neonAsm) word(code uint32, format string, args ...any) {
	a.f("WORD $0x%08x // %s", code, sprint(format, args...))
}

// three holds the instructions d = n op m.
var three = map[string]struct {
	code uint32
	unit string
}{
	"fmla": {0x4e20cc00, "4s"}, "fmls": {0x4ea0cc00, "4s"},
	"fmul": {0x6e20dc00, "4s"}, "fadd": {0x4e20d400, "4s"}, "fsub": {0x4ea0d400, "4s"}, "fdiv": {0x6e20fc00, "4s"},
	"fcmgt": {0x6ea0e400, "4s"}, "fcmeq": {0x4e20e400, "4s"},
	"add": {0x4ea08400, "4s"}, "sub": {0x6ea08400, "4s"},
	"and": {0x4e201c00, "16b"}, "orr": {0x4ea01c00, "16b"}, "eor": {0x6e201c00, "16b"}, "bic": {0x4e601c00, "16b"},
	"bit": {0x6ea01c00, "16b"}, "bif": {0x6ee01c00, "16b"}, // insert n where m is set, is not set
	"uzp1": {0x4e001800, "16b"}, "uzp2": {0x4e005800, "16b"},
	"zip1": {0x4e403800, "8h"}, "zip2": {0x4e407800, "8h"},
	"trn1": {0x4e802800, "4s"}, "trn2": {0x4e806800, "4s"},
	"trn1d": {0x4ec02800, "2d"}, "trn2d": {0x4ec06800, "2d"},
}

func (a *neonAsm) v3(name string, d, n, m int) {
	e := three[name]
	short := name
	if e.unit == "2d" {
		short = name[:4]
	}
	a.word(e.code|uint32(m<<16|n<<5|d), "%s v%d.%s, v%d.%s, v%d.%s", short, d, e.unit, n, e.unit, m, e.unit)
}

func (a *neonAsm) zero(d int) { a.v3("eor", d, d, d) }
func (a *neonAsm) move(d, n int) {
	a.word(0x4ea01c00|uint32(n<<16|n<<5|d), "mov v%d.16b, v%d.16b", d, n)
}
func (a *neonAsm) zeros(upTo int) { each(upTo, a.zero) }

func each(n int, f func(int)) {
	for i := range n {
		f(i)
	}
}

// two holds the instructions d = op n; units are d's and n's.
var two = map[string]struct {
	code  uint32
	units [2]string
	after string // an operand that is part of the code
}{
	"fneg":  {0x6ea0f800, [2]string{"4s", "4s"}, ""},
	"scvtf": {0x4e21d800, [2]string{"4s", "4s"}, ""},
	"shll":  {0x2e613800, [2]string{"4s", "4h"}, ", #16"}, "shll2": {0x6e613800, [2]string{"4s", "8h"}, ", #16"},
	"shrn": {0x0f108400, [2]string{"4h", "4s"}, ", #16"}, "shrn2": {0x4f108400, [2]string{"8h", "4s"}, ", #16"},
	"fcvtl": {0x0e217800, [2]string{"4s", "4h"}, ""}, "fcvtl2": {0x4e217800, [2]string{"4s", "8h"}, ""},
	"sxtl": {0x0f10a400, [2]string{"4s", "4h"}, ""}, "sxtl2": {0x4f10a400, [2]string{"4s", "8h"}, ""},
	"sxtlb": {0x0f08a400, [2]string{"8h", "8b"}, ""}, "sxtlb2": {0x4f08a400, [2]string{"8h", "16b"}, ""},
}

var shortNames = map[string]string{"sxtlb": "sxtl", "sxtlb2": "sxtl2"}

func (a *neonAsm) v2(name string, d, n int) {
	e := two[name]
	short := name
	if s := shortNames[name]; s != "" {
		short = s
	}
	a.word(e.code|uint32(n<<5|d), "%s v%d.%s, v%d.%s%s", short, d, e.units[0], n, e.units[1], e.after)
}

// Shifts of 32-bit lanes.
func (a *neonAsm) shl(d, n, bits int) {
	a.word(0x4f205400|uint32(bits<<16|n<<5|d), "shl v%d.4s, v%d.4s, #%d", d, n, bits)
}

func (a *neonAsm) ushr(d, n, bits int) {
	a.word(0x6f000400|uint32((64-bits)<<16|n<<5|d), "ushr v%d.4s, v%d.4s, #%d", d, n, bits)
}

// element places index i of a 32-bit lane into a by-element code.
func element(i int) uint32 { return uint32(i&1<<21 | i>>1<<11) }

// fmlaLane is d += n * m[i].
func (a *neonAsm) fmlaLane(d, n, m, i int) {
	a.word(0x4f801000|element(i)|uint32(m<<16|n<<5|d), "fmla v%d.4s, v%d.4s, v%d.s[%d]", d, n, m, i)
}

// spread copies lane i of n to all of d.
func (a *neonAsm) spread(d, n, i int) {
	a.word(0x4e000400|uint32((i<<3|4)<<16|n<<5|d), "dup v%d.4s, v%d.s[%d]", d, n, i)
}

// upper moves the upper half of n to the lower half of d.
func (a *neonAsm) upper(d, n int) {
	a.word(0x6e004000|uint32(n<<16|n<<5|d), "ext v%d.16b, v%d.16b, v%d.16b, #8", d, n, n)
}

// Constants that an instruction holds.
func (a *neonAsm) halfMask(d int) { // 0xffff0000 in each lane
	a.word(0x6f07c7e0|uint32(d), "mvni v%d.4s, #0xff, msl #8", d)
}

func (a *neonAsm) halfUlp(d int) { // 0x7fff: bf16's half unit in the last place, less one
	a.word(0x4f03c7e0|uint32(d), "movi v%d.4s, #0x7f, msl #8", d)
}

func (a *neonAsm) fifteen(d int) { a.word(0x4f0005e0|uint32(d), "movi v%d.4s, #0xf", d) }

// roundBF16 rounds the f32 in r to bf16 (nearest even), leaving it in the upper
// half of each lane; ulp holds halfUlp, t is used. Finite normal values only.
func (a *neonAsm) roundBF16(r, t, ulp int) {
	a.shl(t, r, 15) // the last bit that stays
	a.ushr(t, t, 31)
	a.v3("add", r, r, ulp)
	a.v3("add", r, r, t)
}
