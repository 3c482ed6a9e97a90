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
	SFTGrad(d, len(logps))
	got := SFT(0, logps) / float64(len(logps))
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

// TestSFTOverMicroBatches: cut anywhere, the sum is the same to the last bit.
func TestSFTOverMicroBatches(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	logps := make([]float32, 60)
	for i := range logps {
		logps[i] = float32(-r.ExpFloat64())
	}
	want := SFT(0, logps)
	for cut := 0; cut <= 60; cut++ {
		if got := SFT(SFT(0, logps[:cut]), logps[cut:]); got != want {
			t.Fatalf("cut at %d: sum %v, want %v", cut, got, want)
		}
	}
}
