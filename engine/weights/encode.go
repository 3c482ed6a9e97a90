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
