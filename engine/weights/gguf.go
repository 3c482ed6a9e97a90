package weights

import (
	"fmt"
	"math"
	"slices"
)

// GGUF is an open GGUF file of version 2 or 3, little endian: its metadata and
// tensors under the file's own names. Specification: ggml's docs/gguf.md.
type GGUF struct {
	Version   uint32
	Alignment int
	Metadata  []KV // in file order

	file    *mapped
	keys    map[string]int
	tensors map[string]*Tensor
	names   []string // in file order
}

// KV is one metadata entry. Value is one of uint8, int8, uint16, int16, uint32,
// int32, uint64, int64, float32, float64, bool, string, or a slice of one of them.
type KV struct {
	Key   string
	Value any
}

// OpenGGUF opens and checks a GGUF file. Tensors of unsupported types are an
// error that names tensor and type.
func OpenGGUF(path string) (*GGUF, error) {
	m, err := openMapped(path)
	if err != nil {
		return nil, err
	}
	g, err := parseGGUF(m.data)
	if err != nil {
		m.close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	g.file = m
	return g, nil
}

// Close unmaps the file; its tensors must not be used afterwards.
func (g *GGUF) Close() error { return g.file.close() }

// Names lists the tensors in file order.
func (g *GGUF) Names() []string { return slices.Clone(g.names) }

// Tensor returns a tensor by the file's name, in the file's row order.
func (g *GGUF) Tensor(name string) (*Tensor, error) {
	t, ok := g.tensors[name]
	if !ok {
		return nil, fmt.Errorf("no tensor %q in the GGUF file", name)
	}
	return t, nil
}

// Value returns the metadata value of key.
func (g *GGUF) Value(key string) (any, bool) {
	i, ok := g.keys[key]
	if !ok {
		return nil, false
	}
	return g.Metadata[i].Value, true
}

const (
	ggufMagic   = "GGUF"
	minKVBytes  = 8 + 4 + 1     // empty key, type, one-byte value
	minInfo     = 8 + 4 + 4 + 8 // empty name, no dimensions, type, offset
	maxGGUFDims = 4             // GGML_MAX_DIMS
	maxAlign    = 1 << 20       // bytes; real files use 32
	maxName     = 1<<16 - 1     // bytes of a key or tensor name
	cutShort    = "the file is cut short or damaged; pull or copy it again"
)

// parseGGUF reads the header and the tensor infos of a whole file.
func parseGGUF(data []byte) (*GGUF, error) {
	r := &reader{data: data}
	if magic := r.bytes(4); r.err != nil || string(magic) != ggufMagic {
		return nil, fmt.Errorf("not a GGUF file: it starts with %q, expected %q", data[:min(4, len(data))], ggufMagic)
	}
	g := &GGUF{Version: r.u32(), Alignment: 32, keys: map[string]int{}, tensors: map[string]*Tensor{}}
	if v := g.Version; r.err == nil && v != 2 && v != 3 {
		if v&0xffff == 0 {
			return nil, fmt.Errorf("GGUF is big endian; only little endian files are supported")
		}
		return nil, fmt.Errorf("GGUF version %d; supported are 2 and 3", v)
	}
	tensors, kvs := r.u64(), r.u64()
	if r.err == nil && (kvs > uint64(r.left()/minKVBytes) || tensors > uint64(r.left()/minInfo)) {
		return nil, fmt.Errorf("GGUF header announces %d metadata entries and %d tensors, more than its %d bytes can hold: %s", kvs, tensors, len(data), cutShort)
	}
	if err := g.readMetadata(r, int(kvs)); err != nil {
		return nil, err
	}
	if err := g.readTensors(r, int(tensors)); err != nil {
		return nil, err
	}
	return g, nil
}

func (g *GGUF) readMetadata(r *reader, n int) error {
	for i := 0; i < n && r.err == nil; i++ {
		key := r.str(maxName)
		if r.err != nil {
			break
		}
		if _, dup := g.keys[key]; dup {
			return fmt.Errorf("GGUF metadata key %q occurs twice", key)
		}
		v := readValue(r)
		if r.err != nil {
			return fmt.Errorf("GGUF metadata %q: %w", key, r.err)
		}
		g.keys[key] = len(g.Metadata)
		g.Metadata = append(g.Metadata, KV{key, v})
	}
	if r.err != nil {
		return fmt.Errorf("GGUF metadata: %w", r.err)
	}
	if v, ok := g.Value("general.alignment"); ok {
		a, ok := v.(uint32)
		if !ok || a == 0 || a > maxAlign || a&(a-1) != 0 {
			return fmt.Errorf("GGUF metadata general.alignment is %v; expected a power of two up to %d", v, maxAlign)
		}
		g.Alignment = int(a)
	}
	return nil
}

// info is a tensor's entry in the header; offset counts from the data section.
type info struct {
	name   string
	shape  []int
	typ    Type
	offset uint64
	size   int
}

func (g *GGUF) readTensors(r *reader, n int) error {
	infos := make([]info, 0, n) // n was checked against the file's size
	for i := range n {
		in, err := readInfo(r)
		if err != nil {
			return fmt.Errorf("GGUF tensor %d of %d: %w", i+1, n, err)
		}
		infos = append(infos, in)
	}
	start := (r.pos + g.Alignment - 1) / g.Alignment * g.Alignment
	if n > 0 && start > len(r.data) {
		return fmt.Errorf("GGUF tensor data starts at byte %d of %d: %s", start, len(r.data), cutShort)
	}
	body := r.data[min(start, len(r.data)):]
	for _, in := range infos {
		if _, dup := g.tensors[in.name]; dup {
			return fmt.Errorf("GGUF tensor %q occurs twice", in.name)
		}
		if in.offset%uint64(g.Alignment) != 0 {
			return fmt.Errorf("GGUF tensor %q: offset %d is not a multiple of the alignment %d", in.name, in.offset, g.Alignment)
		}
		if in.offset > uint64(len(body)) || in.size > len(body)-int(in.offset) {
			return fmt.Errorf("GGUF tensor %q needs %d bytes from byte %d of the data, which has %d: %s", in.name, in.size, in.offset, len(body), cutShort)
		}
		at := int(in.offset)
		t, err := newTensor(in.name, in.typ, in.shape, body[at:at+in.size])
		if err != nil {
			return fmt.Errorf("GGUF tensor %q: %w", in.name, err)
		}
		g.tensors[in.name] = t
		g.names = append(g.names, in.name)
	}
	return noOverlap(infos)
}

// readInfo reads one tensor info and computes the tensor's size in bytes.
func readInfo(r *reader) (info, error) {
	in := info{name: r.str(maxName)}
	dims := r.u32()
	if r.err != nil {
		return in, r.err
	}
	if dims == 0 || dims > maxGGUFDims {
		return in, fmt.Errorf("%q has %d dimensions; expected 1 to %d", in.name, dims, maxGGUFDims)
	}
	in.shape = make([]int, dims)
	for i := range in.shape {
		d := r.u64()
		if d > math.MaxInt32 {
			return in, fmt.Errorf("%q: dimension %d is too large", in.name, d)
		}
		in.shape[int(dims)-1-i] = int(d) // GGUF stores the innermost first
	}
	id := r.u32()
	in.offset = r.u64()
	if r.err != nil {
		return in, r.err
	}
	var err error
	if in.typ, err = ggufType(id); err != nil {
		return in, fmt.Errorf("%q is %w", in.name, err)
	}
	rows, cols, err := foldShape(in.shape)
	if err != nil {
		return in, fmt.Errorf("%q: %w", in.name, err)
	}
	per, bytes := in.typ.Block()
	if cols%per != 0 {
		return in, fmt.Errorf("%q: rows of %d elements cannot be stored as %s, which needs a multiple of %d", in.name, cols, in.typ, per)
	}
	size, ok := mulSize(cols/per, bytes)
	if ok {
		size, ok = mulSize(size, rows)
	}
	if !ok {
		return in, fmt.Errorf("%q: shape %v is too large", in.name, in.shape)
	}
	in.size = size
	return in, nil
}

// noOverlap refuses files in which two tensors share bytes.
func noOverlap(infos []info) error {
	slices.SortFunc(infos, func(a, b info) int {
		if a.offset != b.offset {
			if a.offset < b.offset {
				return -1
			}
			return 1
		}
		return a.size - b.size
	})
	for i := 1; i < len(infos); i++ {
		a, b := infos[i-1], infos[i]
		if a.size > 0 && b.size > 0 && b.offset < a.offset+uint64(a.size) {
			return fmt.Errorf("GGUF tensors %q and %q share bytes of the file", a.name, b.name)
		}
	}
	return nil
}
