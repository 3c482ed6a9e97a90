package weights

import (
	"fmt"
	"math"
	"strings"
)

// Type is how the elements of a tensor are stored.
type Type uint8

// The supported types. Those that begin with Q are GGUF's. In Q4_0, Q4_1, Q5_0,
// Q5_1 and Q8_0, blocks of 32 elements along a row share one f16 scale d (and
// Q4_1, Q5_1 one f16 minimum m): Q4_0 = d*(q-8), Q4_1 = d*q+m, Q5_0 = d*(q-16),
// Q5_1 = d*q+m, Q8_0 = d*q. In the K types 256 elements share an f16 scale d (and
// Q4_K, Q5_K a minimum m), and blocks of 32 (Q6_K: 16) have factors s, t of 6 bits
// (Q6_K: 8): Q4_K, Q5_K = (d*s)*q - m*t, Q6_K = (d*s)*(q-32).
const (
	F32 Type = iota
	F16
	BF16
	Q4_0
	Q4_1
	Q8_0
	Q5_0
	Q5_1
	Q4_K
	Q5_K
	Q6_K
	numTypes
)

// format is everything the package needs to know of one type. A new type is a
// new row here, a decoder beside the others and, if the kernels have a panel
// format for it, a case in packRows.
type format struct {
	name  string                          // as GGUF and people write it
	gguf  uint32                          // ggml_type; what a GGUF tensor info holds
	dtype string                          // safetensors dtype; empty = GGUF only
	block int                             // elements of one block
	bytes int                             // bytes of one block
	row   func(dst []float32, src []byte) // dequantises whole blocks
	put   func(dst []byte, src []float32) // quantises whole blocks; nil = the package does not write it
}

var formats = [numTypes]format{
	F32:  {"F32", 0, "F32", 1, 4, rowF32, putF32},
	F16:  {"F16", 1, "F16", 1, 2, rowF16, putF16},
	BF16: {"BF16", 30, "BF16", 1, 2, rowBF16, putBF16},
	Q4_0: {"Q4_0", 2, "", 32, 18, rowQ4_0, putQ4_0},
	Q4_1: {"Q4_1", 3, "", 32, 20, rowQ4_1, nil},
	Q8_0: {"Q8_0", 8, "", 32, 34, rowQ8_0, putQ8_0},
	Q5_0: {"Q5_0", 6, "", 32, 22, rowQ5_0, putQ5_0},
	Q5_1: {"Q5_1", 7, "", 32, 24, rowQ5_1, nil},
	Q4_K: {"Q4_K", 12, "", 256, 144, rowQ4_K, putQ4_K},
	Q5_K: {"Q5_K", 13, "", 256, 176, rowQ5_K, nil},
	Q6_K: {"Q6_K", 14, "", 256, 210, rowQ6_K, putQ6_K},
}

// String returns the type's usual name, such as "Q4_1".
func (t Type) String() string {
	if t < numTypes {
		return formats[t].name
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// Block returns the number of elements that are stored together, and their bytes.
func (t Type) Block() (elements, bytes int) { return formats[t].block, formats[t].bytes }

// supported lists the type names for error messages; safetensors has fewer.
func supported(safetensors bool) string {
	var names []string
	for _, f := range formats {
		if !safetensors || f.dtype != "" {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ", ")
}

// ggufNames names the ggml types that are refused, so that the error can say
// which one it met (ggml.h, enum ggml_type).
var ggufNames = map[uint32]string{
	9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K",
	16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS",
	24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}

// ggufType finds the type of a ggml type number.
func ggufType(id uint32) (Type, error) {
	for t, f := range formats {
		if f.gguf == id {
			return Type(t), nil
		}
	}
	name := ggufNames[id]
	if name == "" {
		name = fmt.Sprintf("unknown type %d", id)
	}
	return 0, fmt.Errorf("stored as %s, which is not supported; supported are %s", name, supported(false))
}

// dtypeType finds the type of a safetensors dtype.
func dtypeType(dtype string) (Type, bool) {
	for t, f := range formats {
		if f.dtype != "" && f.dtype == dtype {
			return Type(t), true
		}
	}
	return 0, false
}

// mulSize multiplies non-negative sizes and reports overflow of int.
func mulSize(a, b int) (int, bool) {
	if a < 0 || b < 0 {
		return 0, false
	}
	if a != 0 && b > math.MaxInt/a {
		return 0, false
	}
	return a * b, true
}
