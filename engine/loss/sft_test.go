package loss

import (
	"math"
	"math/rand/v2"
	"testing"
)

// naiveSFT is the formula as written, in float64.
func naiveSFT(logps []float32) float64 {
	sum := 0.0
	for _, lp := range logps {
		sum += float64(lp)
	}
	return -sum / float64(len(logps))
}

func TestSFTIsTheMeanNegativeLogLikelihood(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	logps := make([]float32, 101)
	for i := range logps {
		logps[i] = float32(-r.ExpFloat64() * 3)
	}
	d := make([]float32, len(logps))
	got := SFT(0, d, logps, len(logps)) / float64(len(logps))
	if want := naiveSFT(logps); math.Abs(got-want) > 1e-12 {
		t.Errorf("loss %v, want %v", got, want)
	}
	// Central differences: the loss is linear, so they are exact up to rounding.
	for _, i := range []int{0, 50, 100} {
		const h = 1.0 / 64
		up, down := append([]float32(nil), logps...), append([]float32(nil), logps...)
		up[i] += h
		down[i] -= h
		fd := (naiveSFT(up) - naiveSFT(down)) / float64(up[i]-down[i])
		if math.Abs(fd-float64(d[i])) > 1e-8 {
			t.Errorf("dlogp[%d] = %v, central difference %v", i, d[i], fd)
		}
	}
}

// TestSFTOverMicroBatches: cut anywhere, the sum and the derivatives are the
// same to the last bit.
func TestSFTOverMicroBatches(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	logps := make([]float32, 60)
	for i := range logps {
		logps[i] = float32(-r.ExpFloat64())
	}
	whole := make([]float32, 60)
	want := SFT(0, whole, logps, 60)
	for cut := 0; cut <= 60; cut++ {
		d := make([]float32, 60)
		got := SFT(SFT(0, d[:cut], logps[:cut], 60), d[cut:], logps[cut:], 60)
		if got != want {
			t.Fatalf("cut at %d: sum %v, want %v", cut, got, want)
		}
		for i := range d {
			if d[i] != whole[i] {
				t.Fatalf("cut at %d: derivative %d differs", cut, i)
			}
		}
	}
}
