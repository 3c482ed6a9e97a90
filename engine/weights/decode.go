package weights

import (
	"encoding/binary"
	"math"

	"dlm/engine/kernel"
)

// The decoders below turn whole blocks of src into dst, len(dst) elements. Each
// product and sum is rounded to f32 on its own (the conversions forbid fusing),
// so that every machine and the Python package `gguf` give the same bits.

func rowF32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func rowF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = kernel.F32FromF16(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func rowBF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

// rowQ4_0: 18 bytes a block: f16 d, then 16 bytes; byte j holds element j in its
// low and element j+16 in its high half. Value d*(q-8).
func rowQ4_0(dst []float32, src []byte) {
	for b := 0; b < len(dst)/32; b++ {
		blk, out := src[18*b:18*b+18], dst[32*b:32*b+32]
		d := kernel.F32FromF16(binary.LittleEndian.Uint16(blk))
		for j, q := range blk[2:18] {
			out[j] = d * float32(int(q&15)-8)
			out[j+16] = d * float32(int(q>>4)-8)
		}
	}
}

// rowQ4_1: 20 bytes a block: f16 d, f16 m, then 16 bytes as in Q4_0. Value d*q+m.
func rowQ4_1(dst []float32, src []byte) {
	for b := 0; b < len(dst)/32; b++ {
		blk, out := src[20*b:20*b+20], dst[32*b:32*b+32]
		d := kernel.F32FromF16(binary.LittleEndian.Uint16(blk))
		m := kernel.F32FromF16(binary.LittleEndian.Uint16(blk[2:]))
		for j, q := range blk[4:20] {
			out[j] = float32(d*float32(q&15)) + m
			out[j+16] = float32(d*float32(q>>4)) + m
		}
	}
}

// rowQ8_0: 34 bytes a block: f16 d, then 32 signed bytes. Value d*q.
func rowQ8_0(dst []float32, src []byte) {
	for b := 0; b < len(dst)/32; b++ {
		blk, out := src[34*b:34*b+34], dst[32*b:32*b+32]
		d := kernel.F32FromF16(binary.LittleEndian.Uint16(blk))
		for j, q := range blk[2:34] {
			out[j] = d * float32(int8(q))
		}
	}
}

// codesQ4 splits a row of Q4_0 or Q4_1 blocks into codes (0..15, one per
// element), f16 scales and, for Q4_1, f16 minima (one per block of 32).
func codesQ4(t Type, src []byte, codes []uint8, scale, min []uint16) {
	size, head := 18, 2
	if t == Q4_1 {
		size, head = 20, 4
	}
	for b := range scale {
		blk, out := src[size*b:size*b+size], codes[32*b:32*b+32]
		scale[b] = binary.LittleEndian.Uint16(blk)
		if t == Q4_1 {
			min[b] = binary.LittleEndian.Uint16(blk[2:])
		}
		for j, q := range blk[head:size] {
			out[j], out[j+16] = q&15, q>>4
		}
	}
}

// codesQ8 splits a row of Q8_0 blocks into codes and f16 scales.
func codesQ8(src []byte, codes []int8, scale []uint16) {
	for b := range scale {
		blk, out := src[34*b:34*b+34], codes[32*b:32*b+32]
		scale[b] = binary.LittleEndian.Uint16(blk)
		for j, q := range blk[2:34] {
			out[j] = int8(q)
		}
	}
}
