package weights

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// Safetensors is an open safetensors file: eight bytes with the length of a JSON
// header, the header, then the tensors' bytes without holes.
type Safetensors struct {
	path     string
	file     *mapped
	metadata map[string]string
	entries  map[string]stEntry
	names    []string // in the order of the data
}

// stEntry is one tensor of the header; data is its part of the file.
type stEntry struct {
	dtype      string
	shape      []int
	begin, end int
	data       []byte
}

// dtypeBytes holds the element sizes of all safetensors dtypes, so that files
// with tensors nobody asks for can be checked too.
var dtypeBytes = map[string]int{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
	"I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}

// maxHeader is the reference implementation's limit on the header, in bytes.
const maxHeader = 100_000_000

// OpenSafetensors opens and checks a safetensors file.
func OpenSafetensors(path string) (*Safetensors, error) {
	m, err := openMapped(path)
	if err != nil {
		return nil, err
	}
	s, err := parseSafetensors(m.data)
	if err != nil {
		m.close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.path, s.file = path, m
	return s, nil
}

// Close unmaps the file; its tensors must not be used afterwards.
func (s *Safetensors) Close() error { return s.file.close() }

// Names lists the tensors in the order of their data.
func (s *Safetensors) Names() []string { return slices.Clone(s.names) }

// Metadata returns the header's free text entries.
func (s *Safetensors) Metadata() map[string]string { return s.metadata }

// Tensor returns one tensor; its dtype must be F32, F16 or BF16.
func (s *Safetensors) Tensor(name string) (*Tensor, error) {
	e, ok := s.entries[name]
	if !ok {
		return nil, fmt.Errorf("%s: no tensor %q", s.path, name)
	}
	t, ok := dtypeType(e.dtype)
	if !ok {
		return nil, fmt.Errorf("%s: tensor %q is stored as %s, which is not supported; supported are %s", s.path, name, e.dtype, supported(true))
	}
	return newTensor(name, t, e.shape, e.data)
}

// parseSafetensors reads the header of a whole file and checks that the tensors
// cover its data exactly once.
func parseSafetensors(data []byte) (*Safetensors, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("not a safetensors file: it has %d bytes: %s", len(data), cutShort)
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader || n > uint64(len(data)-8) {
		return nil, fmt.Errorf("not a safetensors file or damaged: its header claims %d bytes, the file has %d", n, len(data))
	}
	header, body := data[8:8+n], data[8+n:]
	s := &Safetensors{entries: map[string]stEntry{}}
	if err := s.readHeader(header, body); err != nil {
		return nil, fmt.Errorf("safetensors header: %w", err)
	}
	return s, s.checkCover(len(body))
}

func (s *Safetensors) readHeader(header, body []byte) error {
	return eachKey(header, func(name string, raw json.RawMessage) error {
		if name == "__metadata__" {
			if s.metadata != nil {
				return errors.New("__metadata__ occurs twice")
			}
			s.metadata = map[string]string{}
			if err := json.Unmarshal(raw, &s.metadata); err != nil {
				return fmt.Errorf("__metadata__: %w", err)
			}
			if s.metadata == nil {
				return errors.New("__metadata__ is null; expected an object of strings")
			}
			return nil
		}
		if _, dup := s.entries[name]; dup {
			return fmt.Errorf("tensor %q occurs twice", name)
		}
		e, err := readEntry(raw, body)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		s.entries[name] = e
		s.names = append(s.names, name)
		return nil
	})
}

// readEntry parses and checks one tensor of the header.
func readEntry(raw json.RawMessage, body []byte) (stEntry, error) {
	var j struct {
		Dtype   string   `json:"dtype"`
		Shape   *[]int64 `json:"shape"`
		Offsets []uint64 `json:"data_offsets"`
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return stEntry{}, err
	}
	size, ok := dtypeBytes[j.Dtype]
	if !ok {
		return stEntry{}, fmt.Errorf("unknown dtype %q", j.Dtype)
	}
	if j.Shape == nil || len(j.Offsets) != 2 {
		return stEntry{}, errors.New("expected dtype, shape and two data_offsets")
	}
	shape := make([]int, len(*j.Shape))
	for i, v := range *j.Shape {
		if v < 0 || v > math.MaxInt32 {
			return stEntry{}, fmt.Errorf("shape %v is not a shape or too large", *j.Shape)
		}
		shape[i] = int(v)
	}
	rows, cols, err := foldShape(shape)
	if err != nil {
		return stEntry{}, err
	}
	elements, _ := mulSize(rows, cols)
	total, ok := mulSize(elements, size)
	if !ok {
		return stEntry{}, fmt.Errorf("shape %v is too large", shape)
	}
	b, e := j.Offsets[0], j.Offsets[1]
	if b > e || e > uint64(len(body)) {
		return stEntry{}, fmt.Errorf("data_offsets %v lie outside the %d bytes of data: %s", j.Offsets, len(body), cutShort)
	}
	if e-b != uint64(total) {
		return stEntry{}, fmt.Errorf("shape %v of %s needs %d bytes, data_offsets give %d", shape, j.Dtype, total, e-b)
	}
	return stEntry{j.Dtype, shape, int(b), int(e), body[b:e]}, nil
}

// checkCover sorts the tensors by offset and refuses holes, overlaps and bytes
// that belong to no tensor, as the reference implementation does.
func (s *Safetensors) checkCover(size int) error {
	slices.SortFunc(s.names, func(a, b string) int {
		x, y := s.entries[a], s.entries[b]
		if x.begin != y.begin {
			return x.begin - y.begin
		}
		if x.end != y.end {
			return x.end - y.end
		}
		return bytes.Compare([]byte(a), []byte(b))
	})
	at := 0
	for _, n := range s.names {
		e := s.entries[n]
		if e.begin != at {
			return fmt.Errorf("safetensors header: tensor %q starts at byte %d of the data, expected %d: tensors overlap or leave a hole", n, e.begin, at)
		}
		at = e.end
	}
	if at != size {
		return fmt.Errorf("safetensors: the tensors end at byte %d of the data, which has %d: %s", at, size, cutShort)
	}
	return nil
}

// eachKey calls f with every member of a JSON object in order, duplicates
// included, and refuses anything after the object but white space.
func eachKey(data []byte, f func(key string, value json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("expected a JSON object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
		if err := f(key, raw); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is more after the JSON object")
	}
	return nil
}
