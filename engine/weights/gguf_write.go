package weights

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Streamed is a tensor whose bytes are made while the file is written, so that
// a file may be larger than memory.
type Streamed struct {
	Name  string
	Type  Type
	Shape []int                   // outermost first
	Write func(w io.Writer) error // writes exactly the bytes of Shape in Type
}

// WriteGGUF writes a GGUF file of version 3, atomically: metadata and tensors in
// the order given, tensor data aligned to general.alignment (32 where the
// metadata has none). Names and row order are written as they are; mapping from
// Hugging Face names is the caller's.
func WriteGGUF(path string, metadata []KV, tensors []Named) error {
	streams, err := streamed(tensors)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return StreamGGUF(path, metadata, streams)
}

// streamed checks tensors in memory and views them as ones to stream.
func streamed(tensors []Named) ([]Streamed, error) {
	out := make([]Streamed, len(tensors))
	for i, t := range tensors {
		if err := t.check(); err != nil {
			return nil, err
		}
		out[i] = Stream(t)
	}
	return out, nil
}

// Stream views a tensor in memory as one to stream.
func Stream(t Named) Streamed {
	return Streamed{t.Name, t.Type, t.Shape, func(w io.Writer) error {
		_, err := w.Write(t.Data)
		return err
	}}
}

// StreamGGUF is WriteGGUF for tensors that are made one after another. A tensor
// that writes more or fewer bytes than its shape takes fails the whole file.
func StreamGGUF(path string, metadata []KV, tensors []Streamed) error {
	header, align, err := ggufHeader(metadata, tensors)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return writeAtomic(path, func(w io.Writer) error {
		pad := make([]byte, align)
		if _, err := w.Write(header); err != nil {
			return err
		}
		for _, t := range tensors {
			if err := t.writeTo(w); err != nil {
				return err
			}
			size, _ := t.size() // ggufHeader has seen to it
			if _, err := w.Write(pad[:padding(size, align)]); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeTo writes the tensor and refuses one of another length than its shape's.
func (t Streamed) writeTo(w io.Writer) error {
	size, err := t.size()
	if err != nil {
		return err
	}
	c := &counted{w: w}
	if err := t.Write(c); err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if c.n != size {
		return fmt.Errorf("tensor %q wrote %d bytes; its shape %v of %s takes %d", t.Name, c.n, t.Shape, t.Type, size)
	}
	return nil
}

// counted counts what goes through it.
type counted struct {
	w io.Writer
	n int
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += n
	return n, err
}

// size returns the bytes of the tensor, or why it cannot be one.
func (t Streamed) size() (int, error) {
	if t.Type >= numTypes {
		return 0, fmt.Errorf("tensor %q: unknown type %d", t.Name, t.Type)
	}
	rows, cols, err := foldShape(t.Shape)
	if err != nil {
		return 0, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	per, bytes := t.Type.Block()
	if cols%per != 0 {
		return 0, fmt.Errorf("tensor %q: shape %v: %s needs a row length divisible by %d", t.Name, t.Shape, t.Type, per)
	}
	row, ok := mulSize(cols/per, bytes)
	total, ok2 := mulSize(rows, row)
	if !ok || !ok2 {
		return 0, fmt.Errorf("tensor %q: shape %v is too large", t.Name, t.Shape)
	}
	return total, nil
}

// padding returns the bytes from n to the next multiple of align.
func padding(n, align int) int { return (align - n%align) % align }

// ggufHeader returns everything before the tensor data, padded.
func ggufHeader(metadata []KV, tensors []Streamed) ([]byte, int, error) {
	b := []byte(ggufMagic)
	b = binary.LittleEndian.AppendUint32(b, 3)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(tensors)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(metadata)))
	align, seen := 32, map[string]bool{}
	for _, kv := range metadata {
		if seen[kv.Key] || len(kv.Key) > maxName {
			return nil, 0, fmt.Errorf("metadata key %.80q is given twice or too long", kv.Key)
		}
		seen[kv.Key] = true
		if kv.Key == "general.alignment" {
			a, ok := kv.Value.(uint32)
			if !ok || a == 0 || a > maxAlign || a&(a-1) != 0 {
				return nil, 0, fmt.Errorf("metadata general.alignment is %v; expected a uint32 power of two up to %d", kv.Value, maxAlign)
			}
			align = int(a)
		}
		var ok bool
		if b, ok = appendValue(appendString(b, kv.Key), kv.Value); !ok {
			return nil, 0, fmt.Errorf("metadata %q: GGUF has no type for %T", kv.Key, kv.Value)
		}
	}
	offset, seen := 0, map[string]bool{}

	for _, t := range tensors {
		size, err := t.size()
		if err != nil {
			return nil, 0, err
		}
		if seen[t.Name] || len(t.Name) > maxName {
			return nil, 0, fmt.Errorf("tensor %.80q is given twice or its name is too long", t.Name)
		}
		if len(t.Shape) == 0 || len(t.Shape) > maxGGUFDims {
			return nil, 0, fmt.Errorf("tensor %q has %d dimensions; GGUF takes 1 to %d", t.Name, len(t.Shape), maxGGUFDims)
		}
		seen[t.Name] = true
		b = binary.LittleEndian.AppendUint32(appendString(b, t.Name), uint32(len(t.Shape)))
		for i := len(t.Shape) - 1; i >= 0; i-- {
			b = binary.LittleEndian.AppendUint64(b, uint64(t.Shape[i]))
		}
		b = binary.LittleEndian.AppendUint32(b, formats[t.Type].gguf)
		b = binary.LittleEndian.AppendUint64(b, uint64(offset))
		offset += size + padding(size, align)
	}
	return append(b, make([]byte, padding(len(b), align))...), align, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// appendValue appends the type and the value; false for a type GGUF lacks.
func appendValue(b []byte, v any) ([]byte, bool) {
	if s, ok := v.(string); ok {
		return appendString(binary.LittleEndian.AppendUint32(b, kvString), s), true
	}
	if t, ok := scalarType(v); ok {
		b, err := binary.Append(binary.LittleEndian.AppendUint32(b, t), binary.LittleEndian, v)
		return b, err == nil
	}
	b = binary.LittleEndian.AppendUint32(b, kvArray)
	head := func(t uint32, n int) {
		b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(b, t), uint64(n))
	}
	switch x := v.(type) {
	case []string:
		head(kvString, len(x))
		for _, s := range x {
			b = appendString(b, s)
		}
		return b, true
	case []uint8:
		head(kvU8, len(x))
	case []int8:
		head(kvI8, len(x))
	case []uint16:
		head(kvU16, len(x))
	case []int16:
		head(kvI16, len(x))
	case []uint32:
		head(kvU32, len(x))
	case []int32:
		head(kvI32, len(x))
	case []uint64:
		head(kvU64, len(x))
	case []int64:
		head(kvI64, len(x))
	case []float32:
		head(kvF32, len(x))
	case []float64:
		head(kvF64, len(x))
	case []bool:
		head(kvBool, len(x))
	default:
		return b, false
	}
	b, err := binary.Append(b, binary.LittleEndian, v)
	return b, err == nil
}

func scalarType(v any) (uint32, bool) {
	switch v.(type) {
	case uint8:
		return kvU8, true
	case int8:
		return kvI8, true
	case uint16:
		return kvU16, true
	case int16:
		return kvI16, true
	case uint32:
		return kvU32, true
	case int32:
		return kvI32, true
	case uint64:
		return kvU64, true
	case int64:
		return kvI64, true
	case float32:
		return kvF32, true
	case float64:
		return kvF64, true
	case bool:
		return kvBool, true
	}
	return 0, false
}
