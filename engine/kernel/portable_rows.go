package kernel

import "math"

// The functions on rows, written once with single rounded operations; the
// other sets do the same operations in the same order on 16 lanes.

// portableRow16 adapts a function of (args, i) to a rowOp.
func portableRow(each func(a *rowArgs, i int)) func(*rowArgs) {
	return func(a *rowArgs) {
		for i := range a.n {
			each(a, i)
		}
	}
}

func at(p *rowArgs, which, i int) float32 {
	switch which {
	case 0:
		return f32At(p.p0, p.n)[i]
	case 1:
		return f32At(p.p1, p.n)[i]
	}
	return f32At(p.p2, p.n)[i]
}

func portableDot(a *rowArgs) {
	p0, p1 := f32At(a.p0, a.n), f32At(a.p1, a.n)
	for i := range p0 {
		l := &a.lanes[i&15]
		*l = fma32(p0[i], p1[i], *l)
	}
}

func portableDotBF16(a *rowArgs) {
	p0, p1 := f32At(a.p0, a.n), u16At(a.p1, a.n)
	for i := range p0 {
		l := &a.lanes[i&15]
		*l = fma32(p0[i], F32FromBF16(p1[i]), *l)
	}
}

func portableDot3(a *rowArgs) {
	p0, p1, p2 := f32At(a.p0, a.n), f32At(a.p1, a.n), f32At(a.p2, a.n)
	for i := range p0 {
		l := &a.lanes[i&15]
		*l = fma32(mul32(p0[i], p1[i]), p2[i], *l)
	}
}

func portableMax(a *rowArgs) {
	for i, v := range f32At(a.p0, a.n) {
		if l := &a.lanes[i&15]; v > *l {
			*l = v
		}
	}
}

func portableAdd(a *rowArgs) {
	dst := f32At(a.dst, a.n)
	for i, v := range f32At(a.p0, a.n) {
		dst[i] = add32(dst[i], v)
	}
}

func portableScale(a *rowArgs) {
	dst := f32At(a.dst, a.n)
	for i, v := range dst {
		dst[i] = mul32(v, a.s0)
	}
}

func portableAxpy(a *rowArgs) {
	dst := f32At(a.dst, a.n)
	for i, v := range f32At(a.p0, a.n) {
		dst[i] = fma32(a.s0, v, dst[i])
	}
}

func portableExp(a *rowArgs) {
	dst := f32At(a.dst, a.n)
	for i, v := range f32At(a.p0, a.n) {
		dst[i] = exp32(v)
	}
}

func portableExpSub(a *rowArgs) {
	dst := f32At(a.dst, a.n)
	for i, v := range f32At(a.p0, a.n) {
		dst[i] = exp32(sub32(v, a.s0))
		a.lanes[i&15] = add32(a.lanes[i&15], dst[i])
	}
}

func portableSoftmaxBack(a *rowArgs) {
	dst := f32At(a.dst, a.n)
	for i, w := range f32At(a.p0, a.n) {
		dst[i] = mul32(mul32(w, sub32(dst[i], a.s0)), a.s1)
	}
}

func portableRound(a *rowArgs) {
	dst := u16At(a.dst, a.n)
	for i, v := range f32At(a.p0, a.n) {
		dst[i] = BF16FromF32(v)
	}
}

func portableWiden(a *rowArgs) {
	dst := f32At(a.dst, a.n)
	for i, v := range u16At(a.p0, a.n) {
		dst[i] = F32FromBF16(v)
	}
}

func expScale(a *rowArgs, i int) float32 { return mul32(exp32(sub32(at(a, 0, i), a.s0)), a.s1) }

func portableBlockSums(a *rowArgs) {
	src := u16At(a.p0, a.n)
	dst := f32At(a.dst, a.n/blockK)
	for b := range dst {
		var lanes [16]float32
		for i := range lanes {
			pair := src[b*blockK+2*i:]
			lanes[i] = add32(F32FromBF16(pair[1]), F32FromBF16(pair[0]))
		}
		dst[b] = addTree16(&lanes)
	}
}

func norm(a *rowArgs, i int) float32 { return mul32(mul32(at(a, 0, i), a.s0), at(a, 1, i)) }

func portableNormBack(a *rowArgs, i int) {
	v := mul32(mul32(at(a, 0, i), at(a, 1, i)), a.s0)
	v = fma32(-a.s1, at(a, 2, i), v)
	dst := f32At(a.dst, a.n)
	dst[i] = add32(dst[i], v)
}

// sigmoid is 1 / (1 + exp(-g)).
func sigmoid(g float32) float32 { return div32(1, add32(1, exp32(-g))) }

func swiGLU(a *rowArgs, i int) float32 {
	g := at(a, 0, i)
	return mul32(mul32(g, sigmoid(g)), at(a, 1, i))
}

// swiGLUBack returns the gradients of gate and up: with s = sigmoid(gate) and
// act = gate*s*up, dup = dact*(gate*s) and dgate = dact*up*(s + gate*s*(1-s)).
func swiGLUBack(a *rowArgs, i int) (dgate, dup float32) {
	g, u, d := at(a, 0, i), at(a, 1, i), at(a, 2, i)
	s := sigmoid(g)
	silu := mul32(g, s)
	slope := fma32(silu, sub32(1, s), s)
	return mul32(mul32(d, u), slope), mul32(d, silu)
}

// portable is the set in plain Go: the reference of all others' bits and the
// fallback where no other runs.
var portable = set{
	name:   "portable",
	uses:   "plain Go; the reference, for correctness rather than speed",
	panel:  portablePanel,
	panelT: portablePanelT,
	block:  portableBlock,
	outer:  portableOuter,
	rows: [numRowOps]func(*rowArgs){
		opDot: portableDot, opDot3: portableDot3, opMax: portableMax,
		opAdd: portableAdd, opScale: portableScale, opAxpy: portableAxpy,
		opExp: portableExp, opExpSub: portableExpSub,
		opNorm:       portableRow(func(a *rowArgs, i int) { f32At(a.dst, a.n)[i] = norm(a, i) }),
		opNormBF16:   portableRow(func(a *rowArgs, i int) { u16At(a.dst, a.n)[i] = BF16FromF32(norm(a, i)) }),
		opNormBack:   portableRow(portableNormBack),
		opSwiGLU:     portableRow(func(a *rowArgs, i int) { f32At(a.dst, a.n)[i] = swiGLU(a, i) }),
		opSwiGLUBF16: portableRow(func(a *rowArgs, i int) { u16At(a.dst, a.n)[i] = BF16FromF32(swiGLU(a, i)) }),
		opSwiGLUBack: portableRow(func(a *rowArgs, i int) {
			f32At(a.dst, a.n)[i], f32At(a.dst2, a.n)[i] = swiGLUBack(a, i)
		}),
		opSwiGLUBackBF16: portableRow(func(a *rowArgs, i int) {
			dg, du := swiGLUBack(a, i)
			u16At(a.dst, a.n)[i], u16At(a.dst2, a.n)[i] = BF16FromF32(dg), BF16FromF32(du)
		}),
		opExpScale:     portableRow(func(a *rowArgs, i int) { f32At(a.dst, a.n)[i] = expScale(a, i) }),
		opExpScaleBF16: portableRow(func(a *rowArgs, i int) { u16At(a.dst, a.n)[i] = BF16FromF32(expScale(a, i)) }),
		opWiden:        portableWiden,
		opRound:        portableRound,
		opSoftmaxBack:  portableSoftmaxBack,
		opDotBF16:      portableDotBF16,
		opBlockSums:    portableBlockSums,
	},
}

// Constants of exp32. With n = round(x/ln 2) and r = x - n ln 2 (ln 2 in two
// parts, the first with few bits so that n times it is exact), exp(x) =
// 2^n * p(r), p(r) = 1 + r + r²(expC5 + r(expC4 + ...)): the polynomial of
// Cephes expf. Largest error measured: see TestExpError.
const (
	expLog2e = 1.44269504088896341
	expMagic = 12582912 // 1.5 * 2^23: adding it rounds to an integer
	expLn2Hi = 0.693359375
	expLn2Lo = -2.12194440e-4
	expC0    = 1.9875691500e-4
	expC1    = 1.3981999507e-3
	expC2    = 8.3334519073e-3
	expC3    = 4.1665795894e-2
	expC4    = 1.6666665459e-1
	expC5    = 5.0000001201e-1
	expLow   = -87.3 // below: 0; the result would leave the normal range
	expHigh  = 88.72 // above: +Inf
)

// exp32 is exp(x), the operations of every set's vector version.
func exp32(x float32) float32 {
	if x < expLow {
		return 0
	}
	if x > expHigh {
		return float32(math.Inf(1))
	}
	t := fma32(x, expLog2e, expMagic)
	n := sub32(t, expMagic)
	r := fma32(n, -expLn2Hi, x)
	r = fma32(n, -expLn2Lo, r)
	p := fma32(expC0, r, expC1)
	p = fma32(p, r, expC2)
	p = fma32(p, r, expC3)
	p = fma32(p, r, expC4)
	p = fma32(p, r, expC5)
	p = fma32(p, mul32(r, r), r)
	p = add32(p, 1)
	return math.Float32frombits(math.Float32bits(p) + math.Float32bits(t)<<23)
}
