package weights

import (
	"fmt"

	"dlm/engine/kernel"
)

// packChunk is how many rows one task packs; a multiple of a panel's 64 columns,
// so that tasks touch different memory.
const packChunk = 64

// Panels packs a matrix for the kernels. In F32 mode it is dequantised to f32.
// In BF16 mode quantised weights keep their bit width and stay exact (the 6-bit
// factors of Q4_K and Q5_K take 8), and F32, F16 and BF16 become bfloat16. Rows are packed in parallel over
// x; a nil x packs on the caller's goroutine. Afterwards the file's pages are
// given back to the system.
func (c *Checkpoint) Panels(name string, mode kernel.Mode, x *kernel.Exec) (*kernel.Panels, error) {
	if c.nf4 && projection(name) {
		return c.PanelsNF4(name, mode, x)
	}
	t, err := c.Tensor(name)
	if err != nil {
		return nil, err
	}
	if len(t.Shape) != 2 {
		return nil, fmt.Errorf("%s: tensor %s has shape %v; expected a matrix", c.Path, name, t.Shape)
	}
	p := kernel.NewPanels(panelFormat(t.Type, mode), t.Rows, t.Cols)
	tasks, workers := (t.Rows+packChunk-1)/packChunk, 1
	if x != nil {
		workers = x.Threads()
	}
	packers := make([]packer, workers)
	for i := range packers {
		packers[i] = newPacker(t, p)
	}
	pack := func(task, worker int) {
		packers[worker].rows(task*packChunk, min(t.Rows, (task+1)*packChunk))
	}
	if x != nil {
		x.Run(tasks, pack)
	} else {
		for i := range tasks {
			pack(i, 0)
		}
	}
	c.release(t)
	return p, nil
}

// panelFormat is the kernels' format for a stored type.
func panelFormat(t Type, mode kernel.Mode) kernel.Format {
	if mode == kernel.F32 {
		return kernel.FormatF32
	}
	switch t {
	case Q4_0:
		return kernel.FormatQ4
	case Q4_1:
		return kernel.FormatQ4Min
	case Q8_0:
		return kernel.FormatQ8
	case Q5_0:
		return kernel.FormatQ5
	case Q5_1:
		return kernel.FormatQ5Min
	case Q4_K:
		return kernel.FormatQ4K
	case Q5_K:
		return kernel.FormatQ5K
	case Q6_K:
		return kernel.FormatQ6K
	}
	return kernel.FormatBF16
}

// packer holds one worker's buffers, so that packing allocates nothing.
type packer struct {
	t          *Tensor
	p          *kernel.Panels
	row        []float32
	codes      []uint8
	signed     []int8
	scale, min []uint16
	factors    []uint8 // of the blocks' scales in the K types
	minFactors []uint8
}

func newPacker(t *Tensor, p *kernel.Panels) packer {
	k := packer{t: t, p: p}
	switch p.Format {
	case kernel.FormatQ4, kernel.FormatQ4Min:
		k.codes, k.scale = make([]uint8, t.Cols), make([]uint16, t.Cols/32)
		if p.Format == kernel.FormatQ4Min {
			k.min = make([]uint16, t.Cols/32)
		}
	case kernel.FormatQ8:
		k.signed, k.scale = make([]int8, t.Cols), make([]uint16, t.Cols/32)
	case kernel.FormatQ5, kernel.FormatQ5Min:
		k.codes, k.scale, k.min = make([]uint8, t.Cols), make([]uint16, t.Cols/32), make([]uint16, t.Cols/32)
	case kernel.FormatQ4K, kernel.FormatQ5K, kernel.FormatQ6K:
		k.codes, k.scale, k.min = make([]uint8, t.Cols), make([]uint16, t.Cols/256), make([]uint16, t.Cols/256)
		k.factors, k.minFactors = make([]uint8, t.Cols/16), make([]uint8, t.Cols/16)
	default:
		k.row = make([]float32, t.Cols)
	}
	return k
}

// rows packs rows lo..hi.
func (k *packer) rows(lo, hi int) {
	for r := lo; r < hi; r++ {
		switch k.p.Format {
		case kernel.FormatQ4, kernel.FormatQ4Min:
			codesQ4(k.t.Type, k.t.row(r), k.codes, k.scale, k.min)
			k.p.SetRowQ4(r, k.codes, k.scale, k.min)
		case kernel.FormatQ8:
			codesQ8(k.t.row(r), k.signed, k.scale)
			k.p.SetRowQ8(r, k.signed, k.scale)
		case kernel.FormatQ5, kernel.FormatQ5Min:
			codesQ5(k.t.Type, k.t.row(r), k.codes, k.scale, k.min)
			k.p.SetRowQ5(r, k.codes, k.scale, k.min)
		case kernel.FormatQ4K, kernel.FormatQ5K, kernel.FormatQ6K:
			codesK(k.t.Type, k.t.row(r), k.codes, k.scale, k.min, k.factors, k.minFactors)
			k.p.SetRowK(r, k.codes, k.scale, k.min, k.factors, k.minFactors)
		default:
			k.t.RowF32(r, k.row)
			k.p.SetRowF32(r, k.row)
		}
	}
}
