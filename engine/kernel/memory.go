package kernel

import "unsafe"

// Vectors are 64 bytes; memory that kernels stream starts on such a boundary.
const vectorBytes = 64

// alignedBytes allocates n zeroed bytes that start on a 64-byte boundary.
func alignedBytes(n int) []byte {
	if n == 0 {
		return nil
	}
	b := make([]byte, n+vectorBytes)
	off := int(-uintptr(unsafe.Pointer(&b[0])) & (vectorBytes - 1))
	return b[off : off+n : off+n]
}

func alignedF32(n int) []float32 { return asF32(alignedBytes(n * 4)) }
func alignedU16(n int) []uint16  { return asU16(alignedBytes(n * 2)) }

// asF32 and asU16 view bytes (aligned, from alignedBytes or mmap) as numbers.
func asF32(b []byte) []float32 {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), len(b)/4)
}

func asU16(b []byte) []uint16 {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*uint16)(unsafe.Pointer(&b[0])), len(b)/2)
}
