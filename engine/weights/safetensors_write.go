package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"unsafe"
)

// Named is a tensor to be written. Data holds the elements little endian,
// row-major, as Type stores them.
type Named struct {
	Name  string
	Type  Type
	Shape []int // outermost first
	Data  []byte
}

// NamedF32 makes an F32 tensor of the values, which must not change before it is
// written: a checkpoint then needs no second copy of what it holds.
func NamedF32(name string, shape []int, values []float32) Named {
	var data []byte
	if n := 4 * len(values); binary.NativeEndian.Uint16([]byte{1, 0}) == 1 && n > 0 {
		data = unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), n)
	} else {
		data = make([]byte, n)
		for i, v := range values {
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
		}
	}
	return Named{Name: name, Type: F32, Shape: slices.Clone(shape), Data: data}
}

// check refuses a tensor whose data does not fit its shape.
func (n Named) check() error {
	if n.Type >= numTypes {
		return fmt.Errorf("tensor %q: unknown type %d", n.Name, n.Type)
	}
	_, err := newTensor(n.Name, n.Type, n.Shape, n.Data)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", n.Name, err)
	}
	return nil
}

// WriteSafetensors writes F32, F16 and BF16 tensors to path, atomically. The
// bytes depend only on the arguments, not on the order of tensors: like the
// reference implementation it orders them by falling dtype (F32, BF16, F16), then
// name; the metadata is sorted.
func WriteSafetensors(path string, tensors []Named, metadata map[string]string) error {
	streams, err := streamed(tensors)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return StreamSafetensors(path, streams, metadata)
}

// StreamSafetensors is WriteSafetensors for tensors that are made one after
// another. A tensor that writes more or fewer bytes than its shape takes fails
// the whole file.
func StreamSafetensors(path string, tensors []Streamed, metadata map[string]string) error {
	header, sorted, err := safetensorsHeader(tensors, metadata)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return writeAtomic(path, func(w io.Writer) error {
		if _, err := w.Write(header); err != nil {
			return err
		}
		for _, t := range sorted {
			if err := t.writeTo(w); err != nil {
				return err
			}
		}
		return nil
	})
}

// safetensorsHeader returns the length, the JSON header padded to eight bytes,
// and the tensors in file order.
func safetensorsHeader(tensors []Streamed, metadata map[string]string) ([]byte, []Streamed, error) {
	sorted := slices.Clone(tensors)
	slices.SortStableFunc(sorted, func(a, b Streamed) int {
		_, x := a.Type.Block()
		_, y := b.Type.Block()
		return cmp.Or(cmp.Compare(y, x), cmp.Compare(b.Type, a.Type), cmp.Compare(a.Name, b.Name))
	})
	var js bytes.Buffer
	js.WriteByte('{')
	if len(metadata) > 0 {
		js.WriteString(`"__metadata__":`)
		if err := compactJSON(&js, metadata); err != nil {
			return nil, nil, err
		}
	}
	at, seen := 0, map[string]bool{"__metadata__": true}
	for _, t := range sorted {
		size, err := t.size()
		if err != nil {
			return nil, nil, err
		}
		dtype := formats[t.Type].dtype
		if dtype == "" {
			return nil, nil, fmt.Errorf("tensor %q: safetensors has no type %s; it holds %s", t.Name, t.Type, supported(true))
		}
		if seen[t.Name] {
			return nil, nil, fmt.Errorf("tensor %q: the name is given twice or reserved", t.Name)
		}
		seen[t.Name] = true
		if js.Len() > 1 {
			js.WriteByte(',')
		}
		if err := compactJSON(&js, t.Name); err != nil {
			return nil, nil, err
		}
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		js.WriteByte(':')
		err = compactJSON(&js, struct {
			Dtype   string `json:"dtype"`
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}{dtype, shape, [2]int{at, at + size}})
		if err != nil {
			return nil, nil, err
		}
		at += size
	}
	js.WriteByte('}')
	for js.Len()%8 != 0 {
		js.WriteByte(' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(js.Len())), js.Bytes()...), sorted, nil
}

// compactJSON appends v without HTML escapes and without a newline.
func compactJSON(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1)
	return nil
}
