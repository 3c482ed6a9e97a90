package kernel

import (
	"sync"
	"testing"
	"unsafe"
)

// Rows come back as they were set, whatever their neighbours and order.
func TestPanelsRows(t *testing.T) {
	r := newRand(20)
	for _, n := range []int{1, 16, 63, 64, 65, 130} {
		const k = 64
		scale, mins := make([]uint16, 2), make([]uint16, 2)
		rowsF, wantF := make([][]float32, n), make([][]float32, n)
		ps := map[Format]*Panels{}
		for _, f := range plainFormats {
			ps[f] = NewPanels(f, n, k)
		}
		want := map[Format][][]float32{}
		for _, i := range r.Perm(n) {
			rowsF[i] = randF32(r, k, 1)
			wantF[i] = rowsF[i]
			q4, q8 := make([]uint8, k), make([]int8, k)
			vals := map[Format][]float32{}
			for _, f := range plainFormats {
				vals[f] = make([]float32, k)
			}
			for b := range scale {
				scale[b], mins[b] = F16FromF32(float32(r.NormFloat64())), F16FromF32(float32(r.NormFloat64()))
			}
			for j := range k {
				q4[j], q8[j] = uint8(r.IntN(16)), int8(r.IntN(256)-128)
				d, m := F32FromF16(scale[j/32]), F32FromF16(mins[j/32])
				vals[FormatF32][j] = rowsF[i][j]
				vals[FormatBF16][j] = F32FromBF16(BF16FromF32(rowsF[i][j]))
				vals[FormatQ4][j] = d * float32(int(q4[j])-8)
				vals[FormatQ4Min][j] = float32(float64(d)*float64(q4[j]) + float64(m))
				vals[FormatQ8][j] = d * float32(q8[j])
			}
			ps[FormatF32].SetRowF32(i, rowsF[i])
			ps[FormatBF16].SetRowF32(i, rowsF[i])
			ps[FormatQ4].SetRowQ4(i, q4, scale, nil)
			ps[FormatQ4Min].SetRowQ4(i, q4, scale, mins)
			ps[FormatQ8].SetRowQ8(i, q8, scale)
			for f, v := range vals {
				if want[f] == nil {
					want[f] = make([][]float32, n)
				}
				want[f][i] = v
			}
		}
		got := make([]float32, k)
		for _, f := range plainFormats {
			for i := range n {
				ps[f].RowF32(i, got)
				wantBits(t, f.String(), got, want[f][i])
			}
		}
	}
}

func TestPanelsBF16Row(t *testing.T) {
	p := NewPanels(FormatBF16, 3, 5)
	p.SetRowBF16(1, []uint16{0x3f80, 0x4000, 0xc000, 0, 0x3f00})
	got := make([]float32, 5)
	p.RowF32(1, got)
	wantBits(t, "row", got, []float32{1, 2, -2, 0, 0.5})
}

// Rows may be set by several goroutines, also rows that share words.
func TestPanelsConcurrent(t *testing.T) {
	const n, k = 128, 32
	p, want := NewPanels(FormatQ4, n, k), NewPanels(FormatQ4, n, k)
	codes := make([][]uint8, n)
	one := []uint16{F16FromF32(1)}
	r := newRand(21)
	for i := range codes {
		codes[i] = make([]uint8, k)
		for j := range codes[i] {
			codes[i][j] = uint8(r.IntN(16))
		}
		want.SetRowQ4(i, codes[i], one, nil)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := g; i < n; i += 4 {
				p.SetRowQ4(i, codes[i], one, nil)
			}
		})
	}
	wg.Wait()
	if string(p.data) != string(want.data) {
		t.Error("rows set concurrently differ from rows set in order")
	}
}

// Weights keep their bit width: 4-bit codes take 4.5 or 5 bits each with their
// scales and minima, 8-bit codes 8.5. The K formats' factors of 6 bits take 8 here:
// 4.625 bits a weight where the file has 4.5.
func TestPanelsBytes(t *testing.T) {
	const n, k = 128, 256
	for f, bits := range map[Format]float64{FormatF32: 32, FormatBF16: 16, FormatQ4: 4.5, FormatQ4Min: 5, FormatQ8: 8.5,
		FormatQ5: 5.5, FormatQ5Min: 6, FormatQ4K: 4.625, FormatQ5K: 5.625, FormatQ6K: 6.5625, FormatNF4: 4.125} {
		if got := float64(NewPanels(f, n, k).Bytes()) * 8 / (n * k); got != bits {
			t.Errorf("%v: %v bits per weight, want %v", f, got, bits)
		}
	}
}

func TestAlignment(t *testing.T) {
	for _, n := range []int{1, 64, 65, 1024, 1 << 15} {
		if p := NewPanels(FormatBF16, n, 32); uintptr(unsafe.Pointer(&p.data[0]))%vectorBytes != 0 {
			t.Errorf("panels of %d rows are not aligned", n)
		}
		if o := NewOperand(BF16, n, 3); uintptr(unsafe.Pointer(&o.B[0]))%vectorBytes != 0 {
			t.Errorf("an operand of %d rows is not aligned", n)
		}
	}
}

// Mistakes of a caller stop with a text that says what was expected.
func TestRefusals(t *testing.T) {
	x := execFor(t, "portable", 1)
	w := NewPanels(FormatBF16, 64, 32)
	a := NewOperand(BF16, 2, 32)
	dst := make([]float32, 2*64)
	for name, f := range map[string]func(){
		"quantised K":        func() { NewPanels(FormatQ4, 4, 33) },
		"row out of range":   func() { w.SetRowF32(64, make([]float32, 32)) },
		"short row":          func() { w.SetRowF32(0, make([]float32, 31)) },
		"wrong format":       func() { w.SetRowQ8(0, make([]int8, 32), make([]uint16, 1)) },
		"code over 15":       func() { NewPanels(FormatQ4, 1, 32).SetRowQ4(0, append(make([]uint8, 31), 16), make([]uint16, 1), nil) },
		"missing minima":     func() { NewPanels(FormatQ4Min, 1, 32).SetRowQ4(0, make([]uint8, 32), make([]uint16, 1), nil) },
		"K differs":          func() { x.MatMul(dst, 64, NewOperand(BF16, 2, 30), w, false) },
		"mode differs":       func() { x.MatMul(dst, 64, NewOperand(F32, 2, 32), w, false) },
		"dst short":          func() { x.MatMul(dst[:127], 64, a, w, false) },
		"stride short":       func() { x.MatMul(dst, 63, a, w, false) },
		"rows of W":          func() { x.MatMulT(dst, 32, NewOperand(BF16, 2, 64), w, 0, 65, false) },
		"block mode":         func() { x.MulBlock(dst, 64, a, Block{Mode: F32, K: 32, N: 64, F: make([]float32, 32*64)}, false) },
		"block columns":      func() { x.MulBlock(dst, 64, a, Block{Mode: BF16, K: 32, N: 20, B: make([]uint16, 32*20)}, false) },
		"outer left side":    func() { x.OuterAccum(dst, 32, make([]float32, 5), 3, 3, a) },
		"norm rows":          func() { x.RMSNorm(a, make([]float32, 1), make([]float32, 64), make([]float32, 32), 0, 2, 32) },
		"slice out of range": func() { a.Slice(1, 3) },
		"exp short":          func() { x.Exp(dst[:1], dst) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			f()
		})
	}
	x.MatMul(nil, 64, a.Slice(0, 0), w, false) // no rows: nothing to do
}

// With nothing to add up, results are zero, or kept when accumulating.
func TestEmptyK(t *testing.T) {
	for _, set := range availableSets() {
		x := execFor(t, set, 1)
		for _, f := range allFormats {
			w, a := NewPanels(f, 70, 0), NewOperand(modeOf(f), 3, 0)
			dst := []float32{0: 5, 3*70 - 1: 7}
			x.MatMul(dst, 70, a, w, true)
			if dst[0] != 5 || dst[209] != 7 {
				t.Errorf("%s %v: accumulating nothing changed the result", set, f)
			}
			x.MatMul(dst, 70, a, w, false)
			wantBits(t, set, dst, make([]float32, 210))
		}
	}
}
