package kernel

import (
	"math"
	"math/big"
	"testing"
)

// bigFMA is acc + x*w in exact arithmetic, rounded once to 24 bits and flushed.
func bigFMA(x, w, acc float32) float32 {
	p := new(big.Float).SetPrec(2000).SetFloat64(float64(x))
	p.Mul(p, new(big.Float).SetFloat64(float64(w)))
	p.Add(p, new(big.Float).SetFloat64(float64(acc)))
	p.SetMode(big.ToNearestEven).SetPrec(24) // unlimited exponent
	if p.Sign() == 0 || p.MantExp(nil) < -125 {
		return 0
	}
	f, _ := p.Float32()
	return f
}

func TestFMA32IsExact(t *testing.T) {
	r := newRand(1)
	any32 := func(lo, hi int) float32 {
		return float32(math.Ldexp(float64(r.IntN(1<<24)-1<<23), r.IntN(hi-lo)+lo))
	}
	for i := range 400000 {
		var x, w, c float32
		switch i % 4 {
		case 0: // any exponents
			x, w, c = any32(-40, 20), any32(-40, 20), any32(-60, 40)
		case 1: // the product lies half an ulp from the sum, plus a little
			x, w, c = float32(1+r.IntN(1<<12)), float32(math.Ldexp(1+float64(r.IntN(3)-1)*0x1p-20, -25)), any32(-23, -22)
		case 2: // around the smallest normal number
			x, w, c = any32(-90, -80), any32(-90, -80), daz(any32(-150, -146))
		case 3: // cancelling
			x, w = any32(-30, -20), any32(-30, -20)
			c = -x * w
		}
		if i%8 > 3 {
			x = F32FromBF16(BF16FromF32(x))
		}
		got, want := fma32(x, w, c), bigFMA(daz(x), daz(w), daz(c))
		if got != want {
			t.Fatalf("fma32(%b, %b, %b) = %b, exact %b", x, w, c, got, want)
		}
		x, w = F32FromBF16(BF16FromF32(x)), F32FromBF16(BF16FromF32(w))
		if got, want := fmaBF16(x, w, c), bigFMA(x, w, daz(c)); got != want {
			t.Fatalf("fmaBF16(%b, %b, %b) = %b, exact %b", x, w, c, got, want)
		}
	}
}

// Ties of the 53-bit sum are where a plain float64 sum would round twice.
func TestFMA32DoubleRounding(t *testing.T) {
	x, w := float32(1+0x1p-23), float32(0x1p-24*(1-0x1p-23))
	for _, c := range []float32{1, 1 + 0x1p-23, -1, 3, 1e3} {
		for _, e := range []float32{x, -x} {
			if got, want := fma32(e, w, c), bigFMA(e, w, c); got != want {
				t.Fatalf("fma32(%b, %b, %b) = %b, exact %b", e, w, c, got, want)
			}
		}
	}
	// acc = 1, product = 2^-24 + 2^-70: just above the tie, so up.
	big1, big2 := float32(0x1p-24*(1+0x1p-23)), float32(1-0x1p-24)
	if got, want := fma32(big1, big2, 1), bigFMA(big1, big2, 1); got != want {
		t.Fatalf("got %b, exact %b", got, want)
	}
}

func TestHalfRoundTrip(t *testing.T) {
	for h := range 1 << 16 {
		f := F32FromF16(uint16(h))
		if f != f {
			continue
		}
		if got := F16FromF32(f); got != uint16(h) {
			t.Fatalf("F16FromF32(F32FromF16(%04x)) = %04x", h, got)
		}
	}
	for _, c := range []struct {
		f float32
		h uint16
	}{{65519.99, 0x7bff}, {65520, 0x7c00}, {0x1p-25, 0}, {0x1.8p-25, 1}, {0x1.002p0, 0x3c00}, {0x1.006p0, 0x3c02}, {float32(math.Inf(-1)), 0xfc00}} {
		if got := F16FromF32(c.f); got != c.h {
			t.Errorf("F16FromF32(%v) = %04x, want %04x", c.f, got, c.h)
		}
	}
}

func TestBF16Rounding(t *testing.T) {
	r := newRand(2)
	for range 100000 {
		f := math.Float32frombits(r.Uint32())
		if f != f {
			continue
		}
		b := new(big.Float).SetMode(big.ToNearestEven).SetPrec(8)
		if math.IsInf(float64(f), 0) {
			continue
		}
		want, _ := b.SetFloat64(float64(daz(f))).Float32()
		if got := F32FromBF16(BF16FromF32(f)); got != want {
			t.Fatalf("bf16(%b) = %b, want %b", f, got, want)
		}
	}
	if got := BF16FromF32(float32(math.NaN())); F32FromBF16(got) == F32FromBF16(got) {
		t.Error("NaN became a number")
	}
}
