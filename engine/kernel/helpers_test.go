package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// newRand is a fixed generator; tests print the case, not the seed.
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// execFor returns an Exec that is closed with the test.
func execFor(t testing.TB, set string, threads int) *Exec {
	t.Helper()
	x, err := NewWith(set, threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

// availableSets names the sets that this machine can run.
func availableSets() []string {
	var names []string
	for _, s := range Sets() {
		if s.Available {
			names = append(names, s.Name)
		}
	}
	return names
}

func randF32(r *rand.Rand, n int, scale float32) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64()) * scale
	}
	return v
}

// randOperand is an operand of normally distributed values.
func randOperand(r *rand.Rand, mode Mode, rows, cols int) Operand {
	o := NewOperand(mode, rows, cols)
	for i := range rows {
		for c := range cols {
			v := float32(r.NormFloat64())
			if mode == F32 {
				o.F[i*o.Stride+c] = v
			} else {
				o.B[i*o.Stride+c] = BF16FromF32(v)
			}
		}
	}
	return o
}

// randPanels is a random matrix in format f.
func randPanels(r *rand.Rand, f Format, n, k int) *Panels {
	p := NewPanels(f, n, k)
	half := func(scale float64) []uint16 {
		h := make([]uint16, k/blockK)
		for i := range h {
			h[i] = F16FromF32(float32(r.NormFloat64() * scale))
		}
		return h
	}
	if f.grouping() != nil {
		bits := testBits(r.Uint64())
		bits.groupRows(p)
		return p
	}
	for i := range n {
		switch f {
		case FormatF32, FormatBF16:
			p.SetRowF32(i, randF32(r, k, 0.1))
		case FormatQ4, FormatQ4Min:
			codes := make([]uint8, k)
			for j := range codes {
				codes[j] = uint8(r.IntN(16))
			}
			p.SetRowQ4(i, codes, half(0.02), half(0.1))
		case FormatQ8:
			codes := make([]int8, k)
			for j := range codes {
				codes[j] = int8(r.IntN(256) - 128)
			}
			p.SetRowQ8(i, codes, half(0.002))
		}
	}
	return p
}

func modeOf(f Format) Mode {
	if f == FormatF32 {
		return F32
	}
	return BF16
}

// wantBits fails unless got and want are equal to the last bit.
func wantBits(t testing.TB, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && !(got[i] != got[i] && want[i] != want[i]) {
			t.Fatalf("%s: value %d is %v (%08x), want %v (%08x)", what, i,
				got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// wantNear fails unless |got-want| <= tol*(scale+|want|).
func wantNear(t testing.TB, what string, got []float32, want []float64, tol, scale float64) {
	t.Helper()
	for i := range want {
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= tol*(scale+math.Abs(want[i]))) {
			t.Fatalf("%s: value %d is %v, want %v (off by %g)", what, i, got[i], want[i], d)
		}
	}
}
