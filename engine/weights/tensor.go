package weights

import "fmt"

// Tensor is one tensor of an open file: a view, valid until the file is closed.
// Rows are the outer dimension; a vector has one row; further outer dimensions
// are folded into the rows.
type Tensor struct {
	Name       string
	Type       Type
	Shape      []int // outermost first, as in Hugging Face checkpoints
	Rows, Cols int

	data     []byte // Rows * rowBytes, row-major, in file order
	rowBytes int
	heads    int // not 0: rows are grouped in so many heads whose rope pairs are interleaved in the file
}

// newTensor checks that data holds exactly the elements of shape.
func newTensor(name string, t Type, shape []int, data []byte) (*Tensor, error) {
	rows, cols, err := foldShape(shape)
	if err != nil {
		return nil, err
	}
	per, size := t.Block()
	if cols%per != 0 {
		return nil, fmt.Errorf("shape %v: %s needs a row length divisible by %d", shape, t, per)
	}
	rowBytes, ok := mulSize(cols/per, size)
	if !ok {
		return nil, fmt.Errorf("shape %v is too large", shape)
	}
	if total, ok := mulSize(rows, rowBytes); !ok || total != len(data) {
		return nil, fmt.Errorf("shape %v of %s does not fit its %d bytes", shape, t, len(data))
	}
	return &Tensor{Name: name, Type: t, Shape: shape, Rows: rows, Cols: cols, data: data, rowBytes: rowBytes}, nil
}

// foldShape returns rows and columns of a shape; no dimension is negative and
// the product fits an int.
func foldShape(shape []int) (rows, cols int, err error) {
	rows, cols = 1, 1
	for i, d := range shape {
		ok := d >= 0
		if i < len(shape)-1 && ok {
			rows, ok = mulSize(rows, d)
		} else if ok {
			cols = d
		}
		if !ok {
			return 0, 0, fmt.Errorf("shape %v is not a shape or too large", shape)
		}
	}
	if _, ok := mulSize(rows, cols); !ok {
		return 0, 0, fmt.Errorf("shape %v is too large", shape)
	}
	return rows, cols, nil
}

// Bytes returns the size of the tensor in its file.
func (t *Tensor) Bytes() int64 { return int64(len(t.data)) }

// RowF32 dequantises row r into dst, which has Cols elements. It panics if r or
// dst do not fit. Different rows may be read at once.
func (t *Tensor) RowF32(r int, dst []float32) {
	if len(dst) != t.Cols {
		panic(fmt.Sprintf("weights: RowF32 of %s: %d elements for %d columns", t.Name, len(dst), t.Cols))
	}
	if t.heads != 0 && t.Rows == 1 {
		t.vectorF32(dst)
		return
	}
	formats[t.Type].row(dst, t.row(r))
}

// F32 dequantises the whole tensor, row-major.
func (t *Tensor) F32() []float32 {
	dst := make([]float32, t.Rows*t.Cols)
	for r := range t.Rows {
		t.RowF32(r, dst[r*t.Cols:(r+1)*t.Cols])
	}
	return dst
}

// row returns the stored bytes of row r.
func (t *Tensor) row(r int) []byte {
	if r < 0 || r >= t.Rows {
		panic(fmt.Sprintf("weights: row %d of %s, which has %d", r, t.Name, t.Rows))
	}
	if t.heads != 0 {
		r = interleaved(r, t.Rows/t.heads)
	}
	return t.data[r*t.rowBytes : (r+1)*t.rowBytes]
}

// vectorF32 reads a bias whose elements are ordered like the rows of its matrix.
func (t *Tensor) vectorF32(dst []float32) {
	file := make([]float32, t.Cols)
	formats[t.Type].row(file, t.data)
	for i := range dst {
		dst[i] = file[interleaved(i, t.Cols/t.heads)]
	}
}

// interleaved returns where a GGUF of the llama architecture keeps row r of a
// query or key projection. Hugging Face orders the d rows of a head as first
// halves, then second halves of the rope pairs; llama.cpp's converter writes the
// two of a pair next to each other: (head, half, pair) -> (head, pair, half).
func interleaved(r, d int) int {
	head, in := r/d, r%d
	half, pair := in/(d/2), in%(d/2)
	return head*d + 2*pair + half
}

// uninterleaved is the reverse of interleaved: the Hugging Face row at place i of
// such a file.
func uninterleaved(i, d int) int {
	head, in := i/d, i%d
	return head*d + in%2*(d/2) + in/2
}
