package weights

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dlm/engine/kernel"
)

// TestPanelsHoldTheTensor packs every type in both modes, with and without
// threads, and reads the rows back.
func TestPanelsHoldTheTensor(t *testing.T) {
	x, err := kernel.NewWith("portable", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	rng := rand.New(rand.NewPCG(3, 4))
	for typ := range numTypes {
		const rows, cols = 150, 512
		w, err := newTensor("w", typ, []int{rows, cols}, randomRows(rng, typ, rows, cols))
		if err != nil {
			t.Fatal(err)
		}
		if typ == Q4_1 {
			w.heads = 5 // as a llama query projection
		}
		c := &Checkpoint{tensors: map[string]*Tensor{"w": w}}
		for _, mode := range []kernel.Mode{kernel.BF16, kernel.F32} {
			for _, exec := range []*kernel.Exec{x, nil} {
				p, err := c.Panels("w", mode, exec)
				if err != nil {
					t.Fatal(err)
				}
				comparePanels(t, w, p, mode)
			}
		}
	}
}

func comparePanels(t *testing.T, w *Tensor, p *kernel.Panels, mode kernel.Mode) {
	t.Helper()
	got, want := make([]float32, w.Cols), make([]float32, w.Cols)
	for r := range w.Rows {
		p.RowF32(r, got)
		w.RowF32(r, want)
		for i := range got {
			v := want[i]
			if p.Format == kernel.FormatBF16 {
				v = kernel.F32FromBF16(kernel.BF16FromF32(v))
			}
			if math.Float32bits(got[i]) != math.Float32bits(v) {
				t.Fatalf("%s in mode %v as %v: row %d element %d is %v, expected %v", w.Type, mode, p.Format, r, i, got[i], v)
			}
		}
	}
	per, size := w.Type.Block()
	if stored := int64(w.Rows * w.Cols / per * size); mode == kernel.BF16 && per > 1 && p.Bytes() > stored*5/4+64*int64(w.Cols) {
		t.Errorf("%s became %d bytes of panels, the file has %d", w.Type, p.Bytes(), stored)
	}
}

func TestPanelsRefuseVectors(t *testing.T) {
	c := openTiny(t, "llama-tied")
	if _, err := c.Panels("model.norm.weight", kernel.BF16, nil); err == nil {
		t.Error("a vector was packed as a matrix")
	}
	if _, err := c.Panels("lm_head.weight", kernel.BF16, nil); err == nil {
		t.Error("a tied base gave an output projection of its own")
	}
}

// TestRealModelPacks packs the whole base at its bit width and says what it took.
func TestRealModelPacks(t *testing.T) {
	c, err := Open(realModel(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	x, err := kernel.New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	start, packed, stored := time.Now(), int64(0), int64(0)
	for _, name := range c.Names() {
		w, _ := c.Tensor(name)
		if len(w.Shape) != 2 {
			continue
		}
		p, err := c.Panels(name, kernel.BF16, x)
		if err != nil {
			t.Fatal(err)
		}
		packed, stored = packed+p.Bytes(), stored+w.Bytes()
		row, want := make([]float32, w.Cols), make([]float32, w.Cols)
		for _, r := range []int{0, w.Rows / 2, w.Rows - 1} {
			p.RowF32(r, row)
			w.RowF32(r, want)
			if !slices.Equal(row, want) {
				t.Fatalf("%s row %d differs after packing", name, r)
			}
		}
	}
	t.Logf("packed %d MB from %d MB in %v with %d threads (%s)", packed>>20, stored>>20, time.Since(start), x.Threads(), x.Name())
	if packed > stored*11/10 {
		t.Errorf("panels take %d bytes, the file %d: the bit width was not kept", packed, stored)
	}
}
