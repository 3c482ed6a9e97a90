package weights

import (
	"encoding/binary"
	"math"

	"dlm/engine/kernel"
)

// The K types leave the encoder a choice: which scale and minimum of a block, of
// which only a factor of six or eight bits is kept, lose the least. Each block
// tries a row of scales around the one that spans its values; for each it rounds
// the values to codes and solves the weighted least squares for scale and minimum
// that these codes want. The best of them are the block's. Then the factors are
// rounded against those of the 256, and the codes are taken anew from what is kept.
// Larger values count more, as they do in a product.
//
// Products stand in conversions of their own, so that every machine makes the same
// file.

// tries is how many scales a block tries, of a distance of a tenth of a code.
const tries = 20

// putQ4_K writes blocks of Q4_K: value (d*s)*q - m*t.
func putQ4_K(dst []byte, src []float32) {
	for b := 0; b < len(src)/256; b++ {
		x, blk := src[256*b:256*b+256], dst[144*b:144*b+144]
		var scale, low [8]float32
		for j := range 8 {
			scale[j], low[j] = fitRange(x[32*j:32*j+32], 15)
		}
		d, dScale := superScale(scale[:], 63)
		m, dMin := superScale(low[:], 63)
		binary.LittleEndian.PutUint16(blk, d)
		binary.LittleEndian.PutUint16(blk[2:], m)
		var s, t [8]uint8
		var codes [256]uint8
		for j := range 8 {
			s[j], t[j] = factor(scale[j], dScale), factor(low[j], dMin)
			step, off := float32(dScale*float32(s[j])), float32(dMin*float32(t[j]))
			inv := inverse(step)
			for i, v := range x[32*j : 32*j+32] {
				codes[32*j+i] = uint8(max(0, min(15, nearest(float32((v+off)*inv)))))
			}
		}
		packSixBits(blk[4:16], s[:], t[:])
		for i := range 128 { // a byte holds an element of an even block and one of the next
			at := i/32*64 + i%32
			blk[16+i] = codes[at] | codes[at+32]<<4
		}
	}
}

// fitRange finds scale s >= 0 and minimum m >= 0 for x = s*q - m with codes 0 to
// top.
func fitRange(x []float32, top float32) (s, m float32) {
	var lo, hi, square float32
	for i, v := range x {
		if i == 0 {
			hi = v
		}
		lo, hi = min(lo, v), max(hi, v)
		square += float32(v * v)
	}
	if hi <= lo {
		return 0, -lo
	}
	mean := float32(math.Sqrt(float64(square / float32(len(x)))))
	best := float32(math.Inf(1))
	for try := range tries + 1 {
		inv := (top - 1 + float32(0.1*float32(try))) / (hi - lo)
		// Sums over the block: of weights, weighted codes, squares and products.
		var w, wq, wqq, wx, wqx, wxx float32
		for _, v := range x {
			q := max(0, min(top, nearest(float32((v-lo)*inv))))
			weight := mean + abs32(v)
			p, r := float32(weight*q), float32(weight*v)
			w, wq, wx = w+weight, wq+p, wx+r
			wqq, wqx, wxx = wqq+float32(p*q), wqx+float32(p*v), wxx+float32(r*v)
		}
		a, c := float32(0), float32(0) // x = a*q + c
		if det := float32(w*wqq) - float32(wq*wq); det > 0 {
			a = (float32(w*wqx) - float32(wq*wx)) / det
			c = (float32(wqq*wx) - float32(wq*wqx)) / det
		}
		if c > 0 { // a minimum above zero cannot be kept
			c = 0
			if wqq > 0 {
				a = wqx / wqq
			}
		}
		if a <= 0 {
			continue
		}
		loss := wxx + float32(float32(a*a)*wqq) + float32(float32(c*c)*w) + 2*(float32(float32(a*c)*wq)-float32(a*wqx)-float32(c*wx))
		if loss < best {
			best, s, m = loss, a, -c
		}
	}
	if s == 0 {
		return (hi - lo) / top, -lo
	}
	return s, m
}

// putQ6_K writes blocks of Q6_K: value (d*s)*(q-32).
func putQ6_K(dst []byte, src []float32) {
	for b := 0; b < len(src)/256; b++ {
		x, blk := src[256*b:256*b+256], dst[210*b:210*b+210]
		var scale [16]float32
		var most float32
		for j := range scale {
			scale[j] = fitSigned(x[16*j:16*j+16], 32)
			if abs32(scale[j]) > abs32(most) {
				most = scale[j]
			}
		}
		half := kernel.F16FromF32(most / -128) // the largest scale gets the factor -128
		d := kernel.F32FromF16(half)
		binary.LittleEndian.PutUint16(blk[208:], half)
		var codes [256]uint8
		for j := range scale {
			f := max(-128, min(127, nearest(float32(scale[j]*inverse(d)))))
			blk[192+j] = byte(int8(f))
			inv := inverse(float32(d * f))
			for i, v := range x[16*j : 16*j+16] {
				codes[16*j+i] = uint8(max(-32, min(31, nearest(float32(v*inv)))) + 32)
			}
		}
		packSix(blk, codes[:])
	}
}

// fitSigned finds the scale for x = s*q with codes -half to half-1.
func fitSigned(x []float32, half float32) float32 {
	var most float32
	for _, v := range x {
		if abs32(v) > abs32(most) {
			most = v
		}
	}
	if most == 0 {
		return 0
	}
	best, scale := float32(-1), most/-half
	for try := range tries + 1 {
		inv := -(half - 1 + float32(0.1*float32(try))) / most
		var wqq, wqx float32
		for _, v := range x {
			q := max(-half, min(half-1, nearest(float32(v*inv))))
			p := float32(float32(v*v) * q)
			wqq, wqx = wqq+float32(p*q), wqx+float32(p*v)
		}
		// With the best scale wqx/wqq this is what the loss falls by.
		if wqq > 0 {
			if gain := float32(wqx * (wqx / wqq)); gain > best {
				best, scale = gain, wqx/wqq
			}
		}
	}
	return scale
}

// superScale returns the scale, in half precision and as it reads back, of which
// the largest of values is top.
func superScale(values []float32, top float32) (half uint16, d float32) {
	half = kernel.F16FromF32(magnitude(values) / top)
	return half, kernel.F32FromF16(half)
}

// factor is the number of d that makes v, in six bits.
func factor(v, d float32) uint8 { return uint8(max(0, min(63, nearest(float32(v*inverse(d)))))) }

// nearest rounds to the nearest whole number, of two equally near to the even one:
// what is added has no bits for fractions. Numbers beyond its 23 bits stay large.
func nearest(v float32) float32 {
	const whole = 3 << 22
	return float32(v+whole) - whole
}

// packSixBits is the reverse of sixBits.
func packSixBits(dst []byte, scale, min []uint8) {
	for i := range 4 {
		dst[i] = scale[i] | scale[i+4]>>4<<6
		dst[i+4] = min[i] | min[i+4]>>4<<6
		dst[i+8] = scale[i+4]&15 | min[i+4]&15<<4
	}
}

// packSix is the reverse of codesQ6.
func packSix(blk []byte, codes []uint8) {
	clear(blk[:192])
	for half := range 2 {
		low, high, codes := blk[64*half:], blk[128+32*half:], codes[128*half:]
		for i := range 128 {
			low[i%64] |= codes[i] & 15 << (i / 64 * 4)
			high[i%32] |= codes[i] >> 4 << (i / 32 * 2)
		}
	}
}
