package model

import (
	"math"
	"math/rand/v2"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/weights"
)

// headNorm64 is the norm of each head in float64, written from the definition.
func headNorm64(src, weight []float64, eps float64) []float64 {
	d := len(weight)
	out := make([]float64, len(src))
	for lo := 0; lo < len(src); lo += d {
		sum := 0.0
		for _, v := range src[lo : lo+d] {
			sum += v * v
		}
		for i := range weight {
			out[lo+i] = src[lo+i] / math.Sqrt(sum/float64(d)+eps) * weight[i]
		}
	}
	return out
}

// TestHeadNormAgainstFloat64 compares the forward pass with the definition, and
// the backward pass with finite differences of the definition, element by
// element, on every kernel set, which must all give the same bits.
func TestHeadNormAgainstFloat64(t *testing.T) {
	const heads, d, rows, eps = 3, 32, 5, 1e-6
	r := rand.New(rand.NewPCG(7, 7))
	draw := func(n int, scale, shift float64) (f []float32, w []float64) {
		for range n {
			v := float32(r.NormFloat64()*scale + shift)
			f, w = append(f, v), append(w, float64(v))
		}
		return f, w
	}
	src, src64 := draw(rows*heads*d, 1.5, 0)
	weight, weight64 := draw(d, 0.3, 1)
	dy, dy64 := draw(rows*heads*d, 0.2, 0)
	want := headNorm64(src64, weight64, eps)
	loss := func() (sum float64) {
		for i, v := range headNorm64(src64, weight64, eps) {
			sum += v * dy64[i]
		}
		return sum
	}
	wantGrad := make([]float64, len(src64))
	for i, v := range src64 {
		const h = 1e-4
		src64[i] = v + h
		up := loss()
		src64[i] = v - h
		wantGrad[i] = (up - loss()) / (2 * h)
		src64[i] = v
	}
	var first, firstGrad []float32
	for _, set := range kernel.Sets() {
		if !set.Available {
			continue
		}
		x, err := kernel.NewWith(set.Name, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		p := &Pass{m: &Model{cfg: weights.Config{HeadDim: d, NormEps: eps}, x: x}}
		dst, rstd := make([]float32, len(src)), make([]float32, rows*heads)
		p.headNormForward(dst, rstd, src, weight)
		dx := make([]float32, len(src))
		for i := range dx {
			dx[i] = 9 // what stood there before must not count
		}
		p.headNormBackward(dx, dy, src, weight, rstd)
		for i := range want {
			if math.Abs(float64(dst[i])-want[i]) > 2e-6*(1+math.Abs(want[i])) {
				t.Fatalf("%s: value %d is %v, in float64 %v", set.Name, i, dst[i], want[i])
			}
			if math.Abs(float64(dx[i])-wantGrad[i]) > 2e-6 {
				t.Fatalf("%s: gradient %d is %v, by finite differences %v", set.Name, i, dx[i], wantGrad[i])
			}
		}
		if first == nil {
			first, firstGrad = dst, dx
		}
		for i := range dst {
			if math.Float32bits(dst[i]) != math.Float32bits(first[i]) || math.Float32bits(dx[i]) != math.Float32bits(firstGrad[i]) {
				t.Fatalf("%s: element %d has other bits than on the first set", set.Name, i)
			}
		}
	}
}
