package weights

import (
	"encoding/binary"
	"math"

	"dlm/engine/kernel"
)

// The encoders below are the reverse of the decoders: they round src, whole
// blocks of finite values, to the nearest that the type can hold, into dst. What
// a format is, types.go says; how a code is chosen, its encoder. For Q4_0, Q5_0
// and Q8_0 that is the choice of ggml and of the Python package `gguf`, so that
// equal weights give equal files.

func putF32(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
}

func putF16(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], kernel.F16FromF32(v))
	}
}

func putBF16(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], kernel.BF16FromF32(v))
	}
}

// putQ8_0: d is the largest magnitude / 127; codes are rounded half away from zero.
func putQ8_0(dst []byte, src []float32) {
	for b := 0; b < len(src)/32; b++ {
		x, blk := src[32*b:32*b+32], dst[34*b:34*b+34]
		d := magnitude(x) / 127
		inv := inverse(d)
		binary.LittleEndian.PutUint16(blk, kernel.F16FromF32(d))
		for i, v := range x {
			blk[2+i] = byte(int8(math.Round(float64(v * inv))))
		}
	}
}

// putQ4_0: the value of largest magnitude gets the code at the end that reaches
// further, -8, so that d has its sign turned; the others are rounded to the
// nearest, and what would be 16 is 15.
func putQ4_0(dst []byte, src []float32) {
	for b := 0; b < len(src)/32; b++ {
		x, blk := src[32*b:32*b+32], dst[18*b:18*b+18]
		var q [32]uint8
		binary.LittleEndian.PutUint16(blk, kernel.F16FromF32(signedCodes(x, 8, q[:])))
		for j := range 16 {
			blk[2+j] = q[j] | q[j+16]<<4
		}
	}
}

// putQ5_0 is putQ4_0 with 32 codes, whose fifth bits stand apart.
func putQ5_0(dst []byte, src []float32) {
	for b := 0; b < len(src)/32; b++ {
		x, blk := src[32*b:32*b+32], dst[22*b:22*b+22]
		var q [32]uint8
		var high uint32
		binary.LittleEndian.PutUint16(blk, kernel.F16FromF32(signedCodes(x, 16, q[:])))
		for j := range 16 {
			blk[6+j] = q[j]&15 | q[j+16]<<4
			high |= uint32(q[j]>>4)<<j | uint32(q[j+16]>>4)<<(j+16)
		}
		binary.LittleEndian.PutUint32(blk[2:], high)
	}
}

// signedCodes gives each value the code (0 to 2*half-1) whose difference from half
// times the scale that it returns is nearest.
func signedCodes(x []float32, half float32, q []uint8) float32 {
	var most float32
	for _, v := range x {
		if abs32(v) > abs32(most) {
			most = v
		}
	}
	d := most / -half
	inv := inverse(d)
	for i, v := range x {
		q[i] = uint8(min(float32(v*inv)+half+0.5, 2*half-1))
	}
	return d
}

// inverse is 1/d, and 0 where that is no number.
func inverse(d float32) float32 {
	if inv := 1 / d; abs32(inv) <= math.MaxFloat32 {
		return inv
	}
	return 0
}

func magnitude(x []float32) float32 {
	var most float32
	for _, v := range x {
		most = max(most, abs32(v))
	}
	return most
}

func abs32(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ (1 << 31)) }
