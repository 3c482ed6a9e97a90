package kernel

import "math"

// minNormal32 is the smallest normal float32, 2^-126. Results that round to
// less are flushed to zero in every kernel set.
const minNormal32 = 0x1p-126

// flushBelow is the float64 magnitude under which a result, rounded to 24 bits
// with unlimited exponent, stays below minNormal32: hardware decides "tiny"
// after rounding, so values within half an ulp of minNormal32 survive.
const flushBelow = minNormal32 * (1 - 0x1p-25)

// F32FromBF16 widens bfloat16 bits to float32. Exact.
func F32FromBF16(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// BF16FromF32 rounds f to bfloat16 (nearest, ties to even). Subnormal
// arguments become zero of the same sign and NaN becomes quiet, as VCVTNEPS2BF16 does.
func BF16FromF32(f float32) uint16 {
	u := math.Float32bits(f)
	switch {
	case u&0x7f800000 == 0:
		return uint16(u >> 16 & 0x8000)
	case u&0x7fffffff > 0x7f800000:
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + (u >> 16 & 1)) >> 16)
}

// F32FromF16 widens IEEE half precision bits to float32. Exact.
func F32FromF16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp, frac := uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch {
	case exp == 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	case exp != 0:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	}
	v := float32(frac) * 0x1p-24 // zero or half-subnormal: normal as float32
	return math.Float32frombits(math.Float32bits(v) | sign)
}

// F16FromF32 rounds f to half precision bits (nearest, ties to even),
// overflowing to infinity.
func F16FromF32(f float32) uint16 {
	u := math.Float32bits(f)
	sign := uint16(u >> 16 & 0x8000)
	u &= 0x7fffffff
	switch {
	case u > 0x7f800000:
		return sign | 0x7e00
	case u >= 0x477ff000: // 65520 and more round to infinity
		return sign | 0x7c00
	case u >= 0x38800000: // normal half
		u += 0xfff + (u >> 13 & 1)
		return sign | uint16((u-0x38000000)>>13)
	}
	// Subnormal half: adding 0.5 aligns the wanted bits at the low end.
	v := math.Float32frombits(u) + 0.5
	return sign | uint16(math.Float32bits(v)-0x3f000000)
}

// daz returns x with subnormal values replaced by zero of the same sign.
func daz(x float32) float32 {
	u := math.Float32bits(x)
	if u&0x7f800000 == 0 {
		return math.Float32frombits(u & 0x80000000)
	}
	return x
}

// to32 rounds s to float32, flushing results below the normal range to a zero
// of the same sign.
func to32(s float64) float32 {
	if s > -flushBelow && s < flushBelow {
		return float32(math.Copysign(0, s))
	}
	return float32(s)
}

// mul32, add32, sub32 and div32 are single float32 operations with subnormals
// flushed on both sides. A float64 product of two float32 is exact, and a
// float64 quotient has enough bits for its second rounding to be harmless.
func mul32(a, b float32) float32 { return to32(float64(daz(a)) * float64(daz(b))) }
func add32(a, b float32) float32 { return daz(daz(a) + daz(b)) } // tiny sums are exact
func sub32(a, b float32) float32 { return daz(daz(a) - daz(b)) }
func div32(a, b float32) float32 { return to32(float64(daz(a)) / float64(daz(b))) }

// fmaBF16 is one step of VDPBF16PS: acc + x*w rounded once, subnormals
// flushed. x and w must have bfloat16 precision: then their product has 16
// significant bits and the float64 sum cannot be rounded twice harmfully (the
// sum is inexact only where one term is below a quarter ulp of the other).
func fmaBF16(x, w, acc float32) float32 {
	return to32(float64(float64(daz(x))*float64(daz(w))) + float64(daz(acc)))
}

// fma32 is acc + x*w for any float32, rounded once, subnormals flushed.
//
// The product is exact in float64; the sum is rounded to 53 bits, and a second
// rounding to 24 can only go wrong when the 53-bit sum lies exactly between two
// float32. Then the lost part of the sum (exact, by two-sum) decides the side.
func fma32(x, w, acc float32) float32 {
	p, c := float64(float64(daz(x))*float64(daz(w))), float64(daz(acc))
	s := p + c
	bits := math.Float64bits(s)
	if bits&(1<<29-1) == 1<<28 {
		t := s - p
		lost := (p - (s - t)) + (c - t)
		if lost != 0 && !math.IsInf(s, 0) {
			if (lost > 0) == (s > 0) {
				bits++
			} else {
				bits--
			}
			s = math.Float64frombits(bits)
		}
	}
	return to32(s)
}

// addTree16 adds 16 lanes in the package's fixed order.
func addTree16(l *[16]float32) float32 {
	for h := 8; h > 0; h /= 2 {
		for i := 0; i < h; i++ {
			l[i] = add32(l[i], l[i+h])
		}
	}
	return l[0]
}
