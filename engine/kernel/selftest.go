package kernel

import (
	"fmt"
	"math"
)

// selfTest runs every function of set s on small data and compares with the
// portable set, bit by bit: a CPU, hypervisor or compiler on which a set's
// arithmetic differs must not be found out by a wrong adapter. It takes some
// milliseconds and returns what differs.
func selfTest(s *set) error {
	got, want := newExec(s, 1), newExec(&portable, 1)
	rng := testBits(1)
	for f := range numFormats {
		for _, m := range []int{1, 4, 13} {
			if err := testMul(got, want, &rng, f, m); err != nil {
				return err
			}
		}
	}
	for _, mode := range []Mode{BF16, F32} {
		if err := testBlocks(got, want, &rng, mode); err != nil {
			return err
		}
	}
	if err := testRows(got, want, &rng); err != nil {
		return err
	}
	return testUpdates(got, want, &rng)
}

// testBits is a small counter-based generator (SplitMix64): the self-test needs
// the same data everywhere.
type testBits uint64

func (t *testBits) next() uint64 {
	*t += 0x9e3779b97f4a7c15
	z := uint64(*t)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// f32 is a value of either sign within a few binary orders of scale.
func (t *testBits) f32(scale float64) float32 {
	b := t.next()
	return float32(math.Ldexp((float64(float64(b>>11)*0x1p-53)-0.5)*scale, int(b&7)-3))
}

func (t *testBits) slice(n int, scale float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = t.f32(scale)
	}
	return v
}

func (t *testBits) operand(mode Mode, rows, cols int) Operand {
	o := NewOperand(mode, rows, cols)
	for r := range rows {
		for c := range cols {
			if v := t.f32(2); mode == F32 {
				o.F[r*o.Stride+c] = v
			} else {
				o.B[r*o.Stride+c] = BF16FromF32(v)
			}
		}
	}
	return o
}

func (t *testBits) panels(f Format, n, k int) *Panels {
	p := NewPanels(f, n, k)
	scale, mins := make([]uint16, k/blockK), make([]uint16, k/blockK)
	q4, q8 := make([]uint8, k), make([]int8, k)
	if f.grouping() != nil {
		t.groupRows(p)
		return p
	}
	for r := range n {
		for i := range scale {
			scale[i], mins[i] = F16FromF32(t.f32(0.1)), F16FromF32(t.f32(0.5))
		}
		for i := range q4 {
			q4[i], q8[i] = uint8(t.next()&15), int8(t.next())
		}
		switch f {
		case FormatF32, FormatBF16:
			p.SetRowF32(r, t.slice(k, 1))
		case FormatQ8:
			p.SetRowQ8(r, q8, scale)
		default:
			p.SetRowQ4(r, q4, scale, mins)
		}
	}
	return p
}

// groupRows fills panels of a grouped format.
func (t *testBits) groupRows(p *Panels) {
	g, k := p.Format.grouping(), p.K
	codes, factors, minFactors := make([]uint8, k), make([]uint8, k/g.block), make([]uint8, k/g.block)
	scale, mins := make([]uint16, k/g.block), make([]uint16, k/g.block)
	if p.Format == FormatNF4 {
		var code [256]float32
		copy(code[:], t.slice(256, 2))
		p.SetNested(&code, t.slice((p.N*k/g.block+nestedBlocks-1)/nestedBlocks, 0.1), t.f32(0.1))
	}
	for r := range p.N {
		for i := range codes {
			codes[i] = uint8(t.next()) & (16<<g.high - 1)
		}
		for i := range factors {
			factors[i], minFactors[i] = uint8(t.next()), uint8(t.next())
			scale[i], mins[i] = F16FromF32(t.f32(0.02)), F16FromF32(t.f32(0.1))
			if g.kind == scaleK {
				scale[i], mins[i] = F16FromF32(t.f32(0.0002)), F16FromF32(t.f32(0.001))
			}
		}
		switch g.kind {
		case scaleF16:
			p.SetRowQ5(r, codes, scale, mins)
		case scaleK:
			p.SetRowK(r, codes, scale, mins, factors, minFactors)
		default:
			p.SetRowNF4(r, codes, factors)
		}
	}
}

// differ names the first value whose bits differ.
func differ(what string, got, want []float32) error {
	for i := range want {
		if g, w := math.Float32bits(got[i]), math.Float32bits(want[i]); g != w {
			return fmt.Errorf("self-test: %s: value %d is %08x, the portable set gives %08x", what, i, g, w)
		}
	}
	return nil
}

func testMul(got, want *Exec, t *testBits, f Format, m int) error {
	const n = 72
	k := max(64, f.unit())
	mode := BF16
	if f == FormatF32 {
		mode = F32
	}
	w, a, g := t.panels(f, n, k), t.operand(mode, m, k), t.operand(mode, m, n)
	y := t.slice(m*n, 1)
	y2 := append([]float32(nil), y...)
	got.MatMul(y, n, a, w, true)
	want.MatMul(y2, n, a, w, true)
	if err := differ(fmt.Sprintf("MatMul %v, %d rows", f, m), y, y2); err != nil {
		return err
	}
	d, d2 := make([]float32, m*k), make([]float32, m*k)
	got.MatMulT(d, k, g, w, 0, n, false)
	want.MatMulT(d2, k, g, w, 0, n, false)
	return differ(fmt.Sprintf("MatMulT %v, %d rows", f, m), d, d2)
}

func testBlocks(got, want *Exec, t *testBits, mode Mode) error {
	const m, k, n, r = 7, 10, 80, 9
	a, flat, right := t.operand(mode, m, k), t.operand(mode, 1, k*n), t.operand(mode, m, n)
	b := Block{Mode: mode, K: k, N: n, B: flat.B, F: flat.F}
	y := t.slice(m*n, 1)
	y2 := append([]float32(nil), y...)
	got.MulBlock(y, n, a, b, true)
	want.MulBlock(y2, n, a, b, true)
	if err := differ(fmt.Sprintf("MulBlock %v", mode), y, y2); err != nil {
		return err
	}
	left := t.slice(m*r, 1)
	o := t.slice(r*n, 1)
	o2 := append([]float32(nil), o...)
	got.OuterAccum(o, n, left, r, r, right)
	want.OuterAccum(o2, n, left, r, r, right)
	return differ(fmt.Sprintf("OuterAccum %v", mode), o, o2)
}

// testRows compares every row function on 64 values, subnormals among them.
func testRows(got, want *Exec, t *testBits) error {
	const n = 64
	src := [3][]float32{t.slice(n, 40), t.slice(n, 2), t.slice(n, 2)}
	src[0][3], src[0][5], src[1][7], src[0][9] = 0x1p-130, -0x1p-127, 0x1p-126, -90
	before, halves := t.slice(n, 2), t.operand(BF16, 1, n)
	for op := range numRowOps {
		run := func(x *Exec) []float32 {
			out := make([]float32, 2*n+16)
			copy(out, before)
			var lanes [16]float32
			copy(lanes[:], before)
			a := rowArgs{dst: ptr(out), dst2: ptr(out[n:]), p0: ptr(src[0]), p1: ptr(src[1]), p2: ptr(src[2]),
				n: n, s0: 0.625, s1: -1.375, lanes: &lanes}
			switch op {
			case opBlockSums, opWiden:
				a.p0 = ptr(halves.B)
			case opDotBF16:
				a.p1 = ptr(halves.B)
			}
			x.set.rows[op](hide(&a))
			copy(out[2*n:], lanes[:])
			return out
		}
		if err := differ(fmt.Sprintf("row function %d", op), run(got), run(want)); err != nil {
			return err
		}
	}
	return nil
}

// testUpdates compares the functions that are no row functions: Rope and AdamW.
func testUpdates(got, want *Exec, t *testBits) error {
	const n, half = 128, 32
	src, cos, sin := t.slice(n, 40), t.slice(half, 2), t.slice(half, 2)
	src[7], cos[3] = 0x1p-127, 0x1p-120
	for _, mode := range []Mode{BF16, F32} {
		var out [2][n]float32
		for i, x := range []*Exec{got, want} {
			o := NewOperand(mode, 2, n)
			x.Rope(o, 1, src, cos, sin, -1)
			o.row32(1, out[i][:])
		}
		if err := differ(fmt.Sprintf("Rope %v", mode), out[0][:], out[1][:]); err != nil {
			return err
		}
	}
	k := AdamW{0.99, 0.1, 0.999, 0.001, 0.03, 1e-8, -1e-3}
	state := t.slice(4*n, 2)
	for i := range n { // second moments are not negative
		state[2*n+i] *= state[2*n+i]
	}
	state[2*n+1], state[3*n+1] = 0x1p-140, 0x1p-75
	other := append([]float32(nil), state...)
	for i, s := range [][]float32{state, other} {
		[]*Exec{got, want}[i].AdamW(s[:n], s[n:2*n], s[2*n:3*n], s[3*n:], k)
	}
	return differ("AdamW", state, other)
}
