package model

import "dlm/engine/kernel"

// Some families (Qwen3) normalise each head of q and k before the rotation, with
// one weight [D] a layer for all heads of q and one for those of k (Henry et al.
// 2020, arXiv 2010.04245, with RMSNorm in place of the unit length). A head is a
// row of D channels, so the kernels of the residual's norm serve.

// headNormForward sets dst [N, heads*D] to each head of src times its
// 1/sqrt(mean square), stored in rstd [N, heads], times weight [D].
func (p *Pass) headNormForward(dst, rstd, src, weight []float32) {
	d := p.m.cfg.HeadDim
	rows := len(dst) / d
	heads := kernel.Operand{Mode: kernel.F32, Rows: rows, Cols: d, Stride: d, F: dst}
	p.m.x.RMSNorm(heads, rstd, src, weight, p.m.cfg.NormEps, rows, d)
}

// headNormBackward takes dy [N, heads*D], the gradient of headNormForward's dst,
// and returns dx, set to the gradient of its src.
func (p *Pass) headNormBackward(dx, dy, src, weight, rstd []float32) []float32 {
	d := p.m.cfg.HeadDim
	clear(dx)                                                      // RMSNormBackward accumulates
	p.m.x.RMSNormBackward(dx, dy, src, weight, rstd, len(dx)/d, d) // RMSNorm(dst, rstd, src)
	return dx
}
