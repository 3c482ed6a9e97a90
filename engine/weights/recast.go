package weights

import (
	"fmt"
	"io"
	"math"
	"sync/atomic"

	"dlm/engine/kernel"
)

// Edit changes row r of a matrix while it is written anew, in place: adding what
// an adapter adds, for one. Rows are in Hugging Face order. It is called for
// different rows at once.
type Edit func(r int, values []float32)

// Recast returns a tensor of the base as it is to be written in another file:
// dequantised exactly as the engine does, changed by edit where that is not nil,
// and rounded to the type as. It is made row by row while it is written, over the
// threads of x (nil: one). The checkpoint must stay open until then.
//
// A value that as cannot hold fails the writing: it is never made an infinity.
func (c *Checkpoint) Recast(name string, as Type, edit Edit, x *kernel.Exec) (Streamed, error) {
	return c.recast(name, as, edit, nil, x)
}

// recast is Recast with the rows in another order: at place i stands row order(i).
func (c *Checkpoint) recast(name string, as Type, edit Edit, order func(i int) int, x *kernel.Exec) (Streamed, error) {
	t, err := c.Tensor(name)
	if err != nil {
		return Streamed{}, err
	}
	if as >= numTypes || formats[as].put == nil {
		return Streamed{}, fmt.Errorf("tensor %s: weights are not written as %s", name, as)
	}
	s := Streamed{Name: name, Type: as, Shape: t.Shape}
	if _, err := s.size(); err != nil {
		return s, err
	}
	s.Write = func(w io.Writer) error {
		read, err := c.rowReader(t, x)
		if err != nil {
			return err
		}
		defer c.release(t)
		return writeRows(w, t.Rows, t.Cols, as, x, func(r int, row []float32) {
			if order != nil {
				r = order(r)
			}
			read(r, row)
			if edit != nil {
				edit(r, row)
			}
		})
	}
	return s, nil
}

// rowReader returns what dequantises one row of a tensor; of a projection that is
// quantised as it is loaded, the row that this leaves.
func (c *Checkpoint) rowReader(t *Tensor, x *kernel.Exec) (func(r int, row []float32), error) {
	if !c.nf4 || !projection(t.Name) {
		return t.RowF32, nil
	}
	q, err := t.nf4(x)
	if err != nil {
		return nil, fmt.Errorf("%s: tensor %s: %w", c.Path, t.Name, err)
	}
	return func(r int, row []float32) {
		t.RowF32(r, row)
		codes := make([]uint8, len(row))
		q.codes(r, row, codes)
		q.values(r, codes, row)
	}, nil
}

// largestF16 is the largest finite value of a half-precision number, which types
// other than F32 and BF16 keep their scales in.
const largestF16 = 65504

// writeRows writes rows in the type as, packChunk of them at a time; fill makes
// one.
func writeRows(w io.Writer, rows, cols int, as Type, x *kernel.Exec, fill func(r int, row []float32)) error {
	per, size := as.Block()
	rowBytes := cols / per * size
	limit := float32(largestF16)
	if as == F32 || as == BF16 {
		limit = math.MaxFloat32
	}
	workers := 1
	if x != nil {
		workers = x.Threads()
	}
	chunk := packChunk * workers
	buf := make([]byte, min(chunk, rows)*rowBytes)
	own := make([][]float32, workers)
	for i := range own {
		own[i] = make([]float32, cols)
	}
	var bad atomic.Int64 // 1 + a row that cannot be written
	for at := 0; at < rows; at += chunk {
		n := min(chunk, rows-at)
		one := func(i, worker int) {
			row := own[worker]
			fill(at+i, row)
			for _, v := range row {
				if !(v <= limit && v >= -limit) {
					bad.Store(int64(at+i) + 1)
					return
				}
			}
			formats[as].put(buf[i*rowBytes:(i+1)*rowBytes], row)
		}
		if x != nil {
			x.Run(n, one)
		} else {
			for i := range n {
				one(i, 0)
			}
		}
		if r := bad.Load(); r != 0 {
			return fmt.Errorf("row %d holds a value that is not finite or, with a magnitude above %g, is too large for %s", r-1, limit, as)
		}
		if _, err := w.Write(buf[:n*rowBytes]); err != nil {
			return err
		}
	}
	return nil
}
