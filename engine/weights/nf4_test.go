package weights

import (
	"encoding/binary"
	"math"
	"os"
	"testing"

	"dlm/engine/kernel"
)

// nf4File takes little-endian values off a reference file.
type nf4File struct {
	t    *testing.T
	data []byte
}

func (r *nf4File) bytes(n int) []byte {
	if n > len(r.data) {
		r.t.Fatalf("the file is short by %d bytes", n-len(r.data))
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *nf4File) u32() int { return int(binary.LittleEndian.Uint32(r.bytes(4))) }

func (r *nf4File) f32(n int) []float32 {
	v := make([]float32, n)
	rowF32(v, r.bytes(4*n))
	return v
}

func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: value %d is %v (%08x), expected %v (%08x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// TestNF4EqualsBitsandbytes: codes, scales and values, to the last bit. The file
// is made by testdata/nf4.py.
func TestNF4EqualsBitsandbytes(t *testing.T) {
	data, err := os.ReadFile("testdata/nf4.bin")
	if err != nil {
		t.Fatal(err)
	}
	x, err := kernel.NewWith("portable", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	r := &nf4File{t, data}
	sameBits(t, "dynamic code", DynamicCode[:], r.f32(256))
	for len(r.data) > 0 {
		name := string(r.bytes(r.u32()))
		typ, rows, cols := []Type{F32, F16, BF16}[r.u32()], r.u32(), r.u32()
		n := rows * cols
		values, codes, absmax := r.f32(n), r.bytes(n), r.bytes(n/64)
		nested, offset := r.f32((n/64+255)/256), r.f32(1)
		want, halves := r.f32(n), r.bytes(2*n)
		t.Run(name, func(t *testing.T) {
			w, err := newTensor("w", typ, []int{rows, cols}, storedAs(typ, values))
			if err != nil {
				t.Fatal(err)
			}
			q := &NF4{Rows: rows, Cols: cols, exact: make([]float32, n/64)}
			for i := range rows {
				absmaxRow(values[i*cols:(i+1)*cols], q.exact[i*cols/64:(i+1)*cols/64])
			}
			if err := q.nest(); err != nil {
				t.Fatal(err)
			}
			sameBits(t, "offset", []float32{q.Offset}, offset)
			sameBits(t, "nested scales", q.Nested, nested)
			for i := range absmax {
				if q.Absmax[i] != absmax[i] {
					t.Fatalf("scale %d has code %d, bitsandbytes %d", i, q.Absmax[i], absmax[i])
				}
			}
			got, row := make([]uint8, cols), make([]float32, cols)
			for i := range rows {
				q.codes(i, values[i*cols:(i+1)*cols], got)
				for j, c := range got {
					if c != codes[i*cols+j] {
						t.Fatalf("element %d %d (%v) has code %d, bitsandbytes %d", i, j, values[i*cols+j], c, codes[i*cols+j])
					}
				}
				q.values(i, got, row)
				sameBits(t, "f32 values", row, want[i*cols:(i+1)*cols])
				for j, v := range row {
					if b := binary.LittleEndian.Uint16(halves[2*(i*cols+j):]); roundBF16(v) != b {
						t.Fatalf("element %d %d is %04x in bf16, bitsandbytes %04x", i, j, roundBF16(v), b)
					}
				}
			}
			c := &Checkpoint{tensors: map[string]*Tensor{"w": w}}
			p32, err := c.PanelsNF4("w", kernel.F32, x)
			if err != nil {
				t.Fatal(err)
			}
			p4, err := c.PanelsNF4("w", kernel.BF16, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range rows {
				p32.RowF32(i, row)
				sameBits(t, "f32 panels", row, want[i*cols:(i+1)*cols])
				p4.RowF32(i, row) // the code book in bf16 times the same scale
				for j, v := range row {
					code := kernel.F32FromBF16(kernel.BF16FromF32(kernel.NF4[codes[i*cols+j]]))
					if s := q.scale((i*cols + j) / 64); math.Float32bits(v) != math.Float32bits(code*s) {
						t.Fatalf("element %d %d of the panels is %v, expected %v", i, j, v, code*s)
					}
				}
			}
		})
	}
}

// The means are torch.mean's (2.15.0, one thread) of the same numbers.
func TestMeanEqualsPyTorch(t *testing.T) {
	for n, want := range map[int]uint32{7: 0x3ed9df22, 300: 0x3effb33c, 5184: 0x3effecb9, 13824: 0x3efff89a, 70001: 0x3efffea6, 1048576: 0x3effffe6, 20000003: 0x3f000001} {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(uint32(i)*2654435761>>8) / (1 << 24)
		}
		if got := math.Float32bits(mean32(x)); got != want {
			t.Errorf("mean of %d numbers is %08x, expected %08x", n, got, want)
		}
	}
}

// roundBF16 rounds to nearest even, subnormal numbers too.
func roundBF16(v float32) uint16 {
	u := math.Float32bits(v)
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// storedAs encodes values that the type holds exactly.
func storedAs(t Type, values []float32) []byte {
	var data []byte
	for _, v := range values {
		switch t {
		case F32:
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		case F16:
			data = append(data, le16(v)...)
		default:
			data = binary.LittleEndian.AppendUint16(data, uint16(math.Float32bits(v)>>16))
		}
	}
	return data
}

// What cannot be quantised is refused with what to do about it.
func TestNF4Refuses(t *testing.T) {
	inf := make([]float32, 128)
	inf[70] = float32(math.Inf(1))
	huge := make([]float32, 128)
	huge[0], huge[64] = 3e38, 3e38
	tensor := func(typ Type, shape []int, data []byte) *Tensor {
		w, err := newTensor("w", typ, shape, data)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for name, c := range map[string]struct {
		w     *Tensor
		parts []string
	}{
		"row length": {tensor(F32, []int{2, 96}, make([]byte, 2*96*4)), []string{"96", "multiple of 64", "without quantize"}},
		"quantised":  {tensor(Q8_0, []int{2, 64}, make([]byte, 2*68)), []string{"Q8_0", "16 or 32 bits", "as it is"}},
		"vector":     {tensor(F32, []int{64}, make([]byte, 64*4)), []string{"matrix"}},
		"infinite":   {tensor(F32, []int{1, 128}, storedAs(F32, inf)), []string{"row 0", "64..127", "not finite"}},
		"huge":       {tensor(F32, []int{1, 128}, storedAs(F32, huge)), []string{"too large"}},
		"empty":      {tensor(F32, []int{0, 64}, nil), []string{"nothing"}},
	} {
		_, err := (&Checkpoint{Path: "base", tensors: map[string]*Tensor{"w": c.w}}).PanelsNF4("w", kernel.BF16, nil)
		expectError(t, err, append(c.parts, "base: tensor w")...)
		_ = name
	}
}
