package kernel

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"testing"
)

// TestBitsOnEveryMachine compares every set's results with bits that another
// architecture gave, written down here.
func TestBitsOnEveryMachine(t *testing.T) {
	want := map[string]string{
		"f32": "aad3b51c6497bc6a", "bf16": "f65251923b38f230", "q4": "9a0bf6439158de14", "q4min": "19cfdb11d2eecbe9",
		"q8": "4075ca5481936604", "q5": "8e197dfe6cd68527", "q5min": "747569ab77da6896", "q4k": "417fffdf3db05496",
		"q5k": "d5d32e20ec23b1e9", "q6k": "749fa0a31641f682", "nf4": "9af916df28fd10c2", "rows": "237779833a0b8e0c",
		"scalars": "e8bf8ed5a99e6dc8",
	}
	for _, set := range availableSets() {
		x := execFor(t, set, 2)
		for _, f := range allFormats {
			bits := testBits(uint64(f) + 70)
			const m, n, k = 7, 83, 256
			w, a, g := bits.panels(f, n, k), bits.operand(modeOf(f), m, k), bits.operand(modeOf(f), m, n)
			y, d, o := make([]float32, m*n), make([]float32, m*k), make([]float32, 3*k)
			x.MatMul(y, n, a, w, false)
			x.MatMulT(d, k, g, w, 0, n, false)
			x.OuterAccum(o, k, bits.slice(m*3, 1), 3, 3, a)
			checkBits(t, want, set, f.String(), y, d, o)
		}
		bits := testBits(99)
		const rows, c = 5, 72
		src, dy, gate, up, weight := bits.slice(rows*c, 4), bits.slice(rows*c, 4), bits.slice(rows*c, 30), bits.slice(rows*c, 4), bits.slice(c, 2)
		norm, a, b, rstd := NewOperand(F32, rows, c), NewOperand(F32, rows, c), NewOperand(F32, rows, c), make([]float32, rows)
		act, dx, e := NewOperand(F32, rows, c), make([]float32, rows*c), make([]float32, rows*c)
		x.RMSNorm(norm, rstd, src, weight, 1e-5, rows, c)
		x.RMSNormBackward(dx, dy, src, weight, rstd, rows, c)
		x.SwiGLU(act, gate, up, rows, c)
		x.SwiGLUBackward(a, b, dy, gate, up, rows, c)
		x.Exp(e, gate)
		sum := []float32{x.ExpSub(gate, gate, x.MaxRow(gate)), x.Dot(src, dy)}
		checkBits(t, want, set, "rows", norm.F, rstd, dx, act.F, a.F, b.F, e, sum, gate)
	}
	bits := testBits(98)
	var scalars []float32
	for range 1000 {
		v := float64(bits.f32(10)) // at most 80 in magnitude: no result leaves float32
		s, c := SinCos64(v)
		for _, r := range []float64{Exp64(v), Log64(v * v), Pow64(v*v, 0.3), s, c} {
			hi := float32(r) // and what float32 leaves
			scalars = append(scalars, hi, float32(r-float64(hi)))
		}
	}
	checkBits(t, want, "Go", "scalars", scalars)
}

func checkBits(t *testing.T, want map[string]string, set, what string, values ...[]float32) {
	t.Helper()
	h := sha256.New()
	for _, v := range values {
		_ = binary.Write(h, binary.LittleEndian, v)
	}
	if got := hex.EncodeToString(h.Sum(nil)[:8]); got != want[what] {
		t.Errorf("%s: %s: hash %s, want %s", set, what, got, want[what])
	}
}
