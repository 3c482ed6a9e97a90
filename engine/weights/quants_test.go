package weights

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm/engine/kernel"
)

// TestQuantsEqualGGUF compares every quantised type with the Python package
// `gguf`, bit by bit: what a row decodes to, and what its panels hold. The files
// are made by testdata/quants.py.
func TestQuantsEqualGGUF(t *testing.T) {
	for typ := range numTypes {
		per, size := typ.Block()
		if per == 1 {
			continue
		}
		file := filepath.Join("testdata", "quants", strings.ToLower(typ.String())+".bin")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		const n, cols = 1024, 256
		stored := n / per * size
		if len(data) != stored+4*n {
			t.Fatalf("%s has %d bytes, expected %d", file, len(data), stored+4*n)
		}
		w, err := newTensor("w", typ, []int{n / cols, cols}, data[:stored])
		if err != nil {
			t.Fatal(err)
		}
		got := w.F32()
		c := &Checkpoint{tensors: map[string]*Tensor{"w": w}}
		p, err := c.Panels("w", kernel.BF16, nil)
		if err != nil {
			t.Fatal(err)
		}
		row := make([]float32, cols)
		for i, v := range got {
			want := binary.LittleEndian.Uint32(data[stored+4*i:])
			if math.Float32bits(v) != want {
				t.Fatalf("%s element %d is %v (%08x), gguf has %v", typ, i, v, math.Float32bits(v), math.Float32frombits(want))
			}
			if i%cols == 0 {
				p.RowF32(i/cols, row)
			}
			if math.Float32bits(row[i%cols]) != want {
				t.Fatalf("%s element %d is %v in panels of %v, expected %v", typ, i, row[i%cols], p.Format, math.Float32frombits(want))
			}
		}
	}
}
