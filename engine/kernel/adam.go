package kernel

import (
	"math"
	"unsafe"
)

// AdamW are the scalars of one AdamW update, rounded to float32.
type AdamW struct {
	Decay, OneMinusBeta1, Beta2, OneMinusBeta2 float32
	RootBias2, Eps, NegStep                    float32
}

// adamArgs are the arguments of a set's adam function: n values, a multiple of
// 16. Assembly reads them by offset.
type adamArgs struct {
	p, m, v, g unsafe.Pointer
	n          int
	k          [7][laneCols]float32 // the scalars, 16 copies each
}

// AdamW updates parameters p and moments m and v by gradients g, all of one
// length, element by element in PyTorch's order of operations, each rounded to
// float32 on its own, subnormals kept:
//
//	p ← p Decay;  m ← m + OneMinusBeta1 (g - m);  v ← v Beta2 + (OneMinusBeta2 g) g
//	p ← p + (NegStep m) / (√v / RootBias2 + Eps)
//
// Serial.
func (x *Exec) AdamW(p, m, v, g []float32, k AdamW) {
	checkLen("AdamW: parameters", len(p), len(g))
	checkLen("AdamW: first moments", len(m), len(g))
	checkLen("AdamW: second moments", len(v), len(g))
	whole := 0
	if f := x.set.adam; f != nil {
		whole = len(g) &^ (laneCols - 1)
		if whole > 0 {
			a := adamArgs{p: ptr(p), m: ptr(m), v: ptr(v), g: ptr(g), n: whole}
			for i, s := range [...]float32{k.Decay, k.OneMinusBeta1, k.Beta2, k.OneMinusBeta2, k.RootBias2, k.Eps, k.NegStep} {
				for l := range a.k[i] {
					a.k[i][l] = s
				}
			}
			f(hideAdam(&a))
		}
	}
	k.update(p[whole:len(g)], m[whole:], v[whole:], g[whole:])
}

// update is the reference of the sets' adam functions. The conversions around
// products forbid fused multiply-adds, which would give other bits on some CPUs.
func (k AdamW) update(p, m, v, g []float32) {
	for j, gj := range g {
		pj := float32(p[j] * k.Decay)
		mj := m[j] + float32(k.OneMinusBeta1*(gj-m[j]))
		vj := float32(v[j]*k.Beta2) + float32(float32(k.OneMinusBeta2*gj)*gj)
		root := float32(math.Sqrt(float64(vj))) // correctly rounded
		denom := root/k.RootBias2 + k.Eps
		p[j] = pj + float32(k.NegStep*mj)/denom
		m[j], v[j] = mj, vj
	}
}

// hideAdam is hide for adamArgs.
func hideAdam(a *adamArgs) *adamArgs {
	u := uintptr(unsafe.Pointer(a))
	return *(**adamArgs)(unsafe.Pointer(&u))
}
