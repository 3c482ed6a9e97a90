package weights

import (
	"encoding/binary"

	"dlm/engine/kernel"
)

// codesQ5 splits a row of Q5_0 or Q5_1 blocks into codes (0..31), f16 scales and,
// for Q5_1, f16 minima. A block is f16 d, with Q5_1 f16 m, 32 fifth bits, then 16
// bytes of low halves as in Q4_0.
func codesQ5(t Type, src []byte, codes []uint8, scale, min []uint16) {
	size, head := 22, 2
	if t == Q5_1 {
		size, head = 24, 4
	}
	for b := range scale {
		blk, out := src[size*b:size*b+size], codes[32*b:32*b+32]
		scale[b] = binary.LittleEndian.Uint16(blk)
		if t == Q5_1 {
			min[b] = binary.LittleEndian.Uint16(blk[2:])
		}
		fifth := binary.LittleEndian.Uint32(blk[head:])
		for j, q := range blk[head+4:] {
			out[j] = q&15 | uint8(fifth>>j&1)<<4
			out[j+16] = q>>4 | uint8(fifth>>(j+16)&1)<<4
		}
	}
}

// rowQ5_0: 22 bytes a block. Value d*(q-16).
func rowQ5_0(dst []float32, src []byte) {
	var codes [32]uint8
	var scale [1]uint16
	for b := 0; b < len(dst)/32; b++ {
		codesQ5(Q5_0, src[22*b:], codes[:], scale[:], nil)
		d := kernel.F32FromF16(scale[0])
		for i, q := range codes {
			dst[32*b+i] = d * float32(int(q)-16)
		}
	}
}

// rowQ5_1: 24 bytes a block. Value d*q+m.
func rowQ5_1(dst []float32, src []byte) {
	var codes [32]uint8
	var scale, min [1]uint16
	for b := 0; b < len(dst)/32; b++ {
		codesQ5(Q5_1, src[24*b:], codes[:], scale[:], min[:])
		d, m := kernel.F32FromF16(scale[0]), kernel.F32FromF16(min[0])
		for i, q := range codes {
			dst[32*b+i] = float32(d*float32(q)) + m
		}
	}
}
