package weights

import (
	"encoding/binary"

	"dlm/engine/kernel"
)

// codesK splits a row of Q4_K, Q5_K or Q6_K blocks of 256 into codes, f16 scales
// and minima of each 256, and the factors of the blocks of 32 (Q6_K: of 16, int8
// as bytes, no minima).
func codesK(t Type, src []byte, codes []uint8, scale, min []uint16, factors, minFactors []uint8) {
	size := bytesK(t)
	for b := range scale {
		blk, out := src[size*b:size*b+size], codes[256*b:256*b+256]
		if t == Q6_K {
			codesQ6(blk, out)
			copy(factors[16*b:16*b+16], blk[192:208])
			scale[b] = binary.LittleEndian.Uint16(blk[208:])
			continue
		}
		scale[b], min[b] = binary.LittleEndian.Uint16(blk), binary.LittleEndian.Uint16(blk[2:])
		sixBits(blk[4:16], factors[8*b:8*b+8], minFactors[8*b:8*b+8])
		low := blk[16:]
		if t == Q5_K {
			low = blk[48:]
		}
		for i := range out { // a byte holds an element of an even block and one of the next
			j, odd := i/64*32+i%32, i/32%2
			out[i] = low[j] >> (4 * odd) & 15
			if t == Q5_K {
				out[i] |= blk[16+i%32] >> (i / 32) & 1 << 4
			}
		}
	}
}

// bytesK is the size of a block of 256 of a K type.
func bytesK(t Type) int {
	switch t {
	case Q4_K:
		return 144
	case Q5_K:
		return 176
	}
	return 210
}

// sixBits unpacks the factors of 8 blocks: of the first four in the low six bits
// of bytes 0..3 (scales) and 4..7 (minima); of the others four bits in the halves
// of bytes 8..11 and two on top of the first eight.
func sixBits(src []byte, scale, min []uint8) {
	for i := range 4 {
		scale[i], min[i] = src[i]&63, src[i+4]&63
		scale[i+4] = src[i+8]&15 | src[i]>>6<<4
		min[i+4] = src[i+8]>>4 | src[i+4]>>6<<4
	}
}

// codesQ6 unpacks 256 codes of 6 bits: for each half of 128, 64 bytes of low
// halves (elements 0..63, then 64..127 in the upper ones) and 32 bytes that hold
// two high bits of elements 32 apart.
func codesQ6(blk []byte, out []uint8) {
	for half := range 2 {
		low, high, out := blk[64*half:], blk[128+32*half:], out[128*half:]
		for i := range 128 {
			out[i] = low[i%64]>>(i/64*4)&15 | high[i%32]>>(i/32*2)&3<<4
		}
	}
}

// rowQ4_K: 144 bytes for 256 elements: f16 d, f16 m, 12 bytes of factors, then 128
// of codes. Value (d*s)*q - m*t.
func rowQ4_K(dst []float32, src []byte) { rowK(Q4_K, dst, src) }

// rowQ5_K: 176 bytes; 32 of fifth bits (bit b for block b) come before the codes.
func rowQ5_K(dst []float32, src []byte) { rowK(Q5_K, dst, src) }

// rowQ6_K: 210 bytes: codes, high bits, 16 factors, f16 d. Value (d*s)*(q-32).
func rowQ6_K(dst []float32, src []byte) { rowK(Q6_K, dst, src) }

// rowK dequantises a row of a K type. Products are exact: a scale has 11 bits, a
// factor at most 7, a code at most 5 besides its sign.
func rowK(t Type, dst []float32, src []byte) {
	var codes [256]uint8
	var scale, min [1]uint16
	var factors, minFactors [16]uint8
	for b := 0; b < len(dst)/256; b++ {
		codesK(t, src[bytesK(t)*b:], codes[:], scale[:], min[:], factors[:], minFactors[:])
		out, d, m := dst[256*b:256*b+256], kernel.F32FromF16(scale[0]), kernel.F32FromF16(min[0])
		for i, q := range codes {
			if t == Q6_K {
				out[i] = float32(d*float32(int8(factors[i/16]))) * float32(int(q)-32)
			} else {
				out[i] = float32(float32(d*float32(factors[i/32]))*float32(q)) - float32(m*float32(minFactors[i/32]))
			}
		}
	}
}
