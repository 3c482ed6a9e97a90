package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// GGUF metadata value types (gguf.md, enum gguf_metadata_value_type).
const (
	kvU8 uint32 = iota
	kvI8
	kvU16
	kvI16
	kvU32
	kvI32
	kvF32
	kvBool
	kvString
	kvArray
	kvU64
	kvI64
	kvF64
)

var errCutShort = errors.New("it ends in the middle: " + cutShort)

// reader walks a byte slice. After the first failure err is set and every read
// returns a zero value.
type reader struct {
	data []byte
	pos  int
	err  error
}

func (r *reader) left() int { return len(r.data) - r.pos }

func (r *reader) bytes(n int) []byte {
	if r.err != nil || n < 0 || n > r.left() {
		if r.err == nil {
			r.err = errCutShort
		}
		return nil
	}
	b := r.data[r.pos : r.pos+n]
	r.pos += n
	return b
}

func (r *reader) u8() uint8 {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// str reads a length and that many bytes, at most limit.
func (r *reader) str(limit int) string {
	n := r.u64()
	if r.err == nil && n > uint64(min(limit, r.left())) {
		if n > uint64(r.left()) {
			r.err = fmt.Errorf("a string of %d bytes with %d left: %s", n, r.left(), cutShort)
		} else {
			r.err = fmt.Errorf("a string of %d bytes; at most %d are expected here", n, limit)
		}
	}
	return string(r.bytes(int(n)))
}

func (r *reader) boolean() bool {
	v := r.u8()
	if r.err == nil && v > 1 {
		r.err = fmt.Errorf("a bool is %d; expected 0 or 1", v)
	}
	return v == 1
}

// readValue reads a typed metadata value.
func readValue(r *reader) any {
	switch t := r.u32(); t {
	case kvU8:
		return r.u8()
	case kvI8:
		return int8(r.u8())
	case kvU16:
		return r.u16()
	case kvI16:
		return int16(r.u16())
	case kvU32:
		return r.u32()
	case kvI32:
		return int32(r.u32())
	case kvF32:
		return math.Float32frombits(r.u32())
	case kvBool:
		return r.boolean()
	case kvString:
		return r.str(math.MaxInt)
	case kvArray:
		return readArray(r)
	case kvU64:
		return r.u64()
	case kvI64:
		return int64(r.u64())
	case kvF64:
		return math.Float64frombits(r.u64())
	default:
		if r.err == nil {
			r.err = fmt.Errorf("unknown value type %d", t)
		}
		return nil
	}
}

// readArray reads an array of scalars or strings. Arrays of arrays exist in the
// specification but in no known model file, and are refused.
func readArray(r *reader) any {
	t, n := r.u32(), r.u64()
	switch t {
	case kvU8:
		return array(r, n, 1, r.u8)
	case kvI8:
		return array(r, n, 1, func() int8 { return int8(r.u8()) })
	case kvU16:
		return array(r, n, 2, r.u16)
	case kvI16:
		return array(r, n, 2, func() int16 { return int16(r.u16()) })
	case kvU32:
		return array(r, n, 4, r.u32)
	case kvI32:
		return array(r, n, 4, func() int32 { return int32(r.u32()) })
	case kvF32:
		return array(r, n, 4, func() float32 { return math.Float32frombits(r.u32()) })
	case kvBool:
		return array(r, n, 1, r.boolean)
	case kvString:
		return array(r, n, 8, func() string { return r.str(math.MaxInt) })
	case kvU64:
		return array(r, n, 8, r.u64)
	case kvI64:
		return array(r, n, 8, func() int64 { return int64(r.u64()) })
	case kvF64:
		return array(r, n, 8, func() float64 { return math.Float64frombits(r.u64()) })
	}
	if r.err == nil {
		r.err = fmt.Errorf("array of value type %d is not supported", t)
	}
	return nil
}

// array reads n elements that take at least size bytes each; the count is
// checked against what is left before anything is allocated.
func array[T any](r *reader, n uint64, size int, read func() T) any {
	if r.err == nil && n > uint64(r.left()/size) {
		r.err = fmt.Errorf("an array of %d elements with %d bytes left: %s", n, r.left(), cutShort)
	}
	if r.err != nil {
		return nil
	}
	out := make([]T, n)
	for i := range out {
		if out[i] = read(); r.err != nil {
			return nil
		}
	}
	return out
}

// validUTF8 reports whether all strings are valid UTF-8.
func validUTF8(s ...string) bool {
	for _, x := range s {
		if !utf8.ValidString(x) {
			return false
		}
	}
	return true
}
