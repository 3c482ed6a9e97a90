package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"dlm/engine/kernel"
)

// QuantizeNF4 makes the base one whose projections are quantised to NF4 when they
// are packed; embedding, output projection, norms and biases stay as they are, as
// in QLoRA. Its Hash changes. A base that cannot be quantised is an error.
func (c *Checkpoint) QuantizeNF4() error {
	for _, name := range c.Names() {
		if !projection(name) {
			continue
		}
		if err := c.tensors[name].checkNF4(); err != nil {
			return fmt.Errorf("%s: tensor %s: %w", c.Path, name, err)
		}
	}
	c.nf4 = true
	return nil
}

// projection says whether a tensor is a matrix that adapters are trained beside.
func projection(name string) bool {
	return strings.HasPrefix(name, "model.layers.") && strings.HasSuffix(name, "_proj.weight")
}

// NF4Hash names the base that a base of the given hash becomes in NF4: the sha256
// of that hash and what was done.
func NF4Hash(hash string) string {
	sum := sha256.Sum256([]byte(hash + " nf4, blocks of 64, scales in blocks of 256\n"))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// PanelsNF4 quantises a matrix of 16 or 32 bits to NF4 and packs it: in BF16 mode
// at its 4.13 bits a weight, in F32 mode as the values that bitsandbytes
// dequantises. Its rows must be multiples of 64 long. Rows are handled in parallel
// over x, as in Panels.
func (c *Checkpoint) PanelsNF4(name string, mode kernel.Mode, x *kernel.Exec) (*kernel.Panels, error) {
	t, err := c.Tensor(name)
	if err != nil {
		return nil, err
	}
	q, err := t.nf4(x)
	if err != nil {
		return nil, fmt.Errorf("%s: tensor %s: %w", c.Path, name, err)
	}
	run := rowRunner(x, t.Rows, t.Cols)
	per := t.Cols / nf4Block
	format := kernel.FormatNF4
	if mode == kernel.F32 {
		format = kernel.FormatF32
	}
	p := kernel.NewPanels(format, t.Rows, t.Cols)
	if mode != kernel.F32 {
		p.SetNested(&DynamicCode, q.Nested, q.Offset)
	}
	run(func(r int, row []float32, codes []uint8) {
		t.RowF32(r, row)
		q.codes(r, row, codes)
		if mode == kernel.F32 {
			q.values(r, codes, row)
			p.SetRowF32(r, row)
			return
		}
		p.SetRowNF4(r, codes, q.Absmax[r*per:(r+1)*per])
	})
	c.release(t)
	return p, nil
}

// nf4 finds the scales of the tensor quantised to NF4.
func (t *Tensor) nf4(x *kernel.Exec) (*NF4, error) {
	if err := t.checkNF4(); err != nil {
		return nil, err
	}
	q := &NF4{Rows: t.Rows, Cols: t.Cols, exact: make([]float32, t.Rows*t.Cols/nf4Block)}
	per := t.Cols / nf4Block
	rowRunner(x, t.Rows, t.Cols)(func(r int, row []float32, _ []uint8) {
		t.RowF32(r, row)
		absmaxRow(row, q.exact[r*per:(r+1)*per])
	})
	return q, q.nest()
}

// checkNF4 says why a tensor cannot be quantised to NF4.
func (t *Tensor) checkNF4() error {
	switch {
	case len(t.Shape) != 2:
		return fmt.Errorf("has shape %v; expected a matrix", t.Shape)
	case t.Type != F32 && t.Type != F16 && t.Type != BF16:
		return fmt.Errorf("is stored as %s already; nf4 quantises a base of 16 or 32 bits: use this one as it is, without quantize, or pull its bf16 version", t.Type)
	case t.Cols%nf4Block != 0:
		return fmt.Errorf("has rows of %d elements; nf4 needs a multiple of %d: use the base without quantize, or another base", t.Cols, nf4Block)
	case t.Rows*t.Cols == 0:
		return fmt.Errorf("has shape %v; nothing to quantise", t.Shape)
	}
	return nil
}

// rowRunner returns a function that calls f for every row, packChunk rows a task,
// with a worker's own buffers.
func rowRunner(x *kernel.Exec, rows, cols int) func(f func(r int, row []float32, codes []uint8)) {
	tasks, workers := (rows+packChunk-1)/packChunk, 1
	if x != nil {
		workers = x.Threads()
	}
	type buffers struct {
		row   []float32
		codes []uint8
	}
	own := make([]buffers, workers)
	for i := range own {
		own[i] = buffers{make([]float32, cols), make([]uint8, cols)}
	}
	return func(f func(r int, row []float32, codes []uint8)) {
		task := func(task, worker int) {
			b := own[worker]
			for r := task * packChunk; r < min(rows, (task+1)*packChunk); r++ {
				f(r, b.row, b.codes)
			}
		}
		if x != nil {
			x.Run(tasks, task)
			return
		}
		for i := range tasks {
			task(i, 0)
		}
	}
}
