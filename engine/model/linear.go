package model

import (
	"dlm/engine/kernel"
)

// linearForward computes one projection for all rows: dst [N, out] (row stride
// out) = x Wᵀ + bias + h Bᵀ, where h = Scale * (x Aᵀ) is kept in a.h for the
// backward pass. With add, dst += instead.
//
// B's sum continues in the base's accumulator, so the result is one chain.
func (p *Pass) linearForward(ly int, mod Module, dst []float32, xo kernel.Operand, a *activations, add bool) {
	lin := &p.m.layers[ly].proj[mod]
	x := p.m.x
	x.MatMul(dst, lin.out, xo, lin.w, add)
	if lin.bias != nil {
		p.addBias(dst, lin.bias)
	}
	for _, r := range p.runs {
		lo := p.lora(r, ly, mod)
		if lo == nil {
			continue
		}
		h32 := p.fwd.h32[:(r.hi-r.lo)*lo.Rank]
		h := a.hidden(mod, lo.Rank, r.lo, r.hi)
		x.MatMul(h32, lo.Rank, p.dropped(xo, r, lo, ly, mod), lo.A, false)
		p.scaleRows(h32, lo.Scale)
		x.Round(h, h32, lo.Rank)
		x.MatMul(dst[r.lo*lin.out:], lin.out, h, lo.B, true)
	}
}

// linearBackward takes dy [N, out], the rounded gradient of linearForward's dst,
// adds the gradients of A and B, and gives dx [N, in] (= or +=, by add), the
// gradient of x; a nil dx is not wanted. Each quoted line is the forward's.
func (p *Pass) linearBackward(ly int, mod Module, dx []float32, dy, xo kernel.Operand, a *activations, add bool) {
	lin := &p.m.layers[ly].proj[mod]
	x := p.m.x
	if dx != nil { // MatMul(dst, out, xo, lin.w): dx = dy W
		x.MatMulT(dx, lin.in, dy, lin.w, 0, lin.out, add)
	}
	for _, r := range p.runs {
		lo := p.lora(r, ly, mod)
		if lo == nil {
			continue
		}
		rows, rank := r.hi-r.lo, lo.Rank
		dyr := dy.Slice(r.lo, r.hi)
		dh32 := p.bwd.dh32[:rows*rank]
		if lo.GradBT != nil { // MatMul(dst, out, h, lo.B): dBᵀ += hᵀ dy
			h32 := p.bwd.h32[:rows*rank]
			p.widen(h32, a.hidden(mod, rank, r.lo, r.hi))
			x.OuterAccum(lo.GradBT, lin.out, h32, rank, rank, dyr)
		}
		x.MatMulT(dh32, rank, dyr, lo.B, 0, lin.out, false) // the same line: dh = dy B
		p.scaleRows(dh32, lo.Scale)                         // scaleRows(h32, Scale)
		if lo.GradA != nil {                                // MatMul(h32, R, x, lo.A): dA += dhᵀ x
			x.OuterAccum(lo.GradA, lin.in, dh32, rank, rank, p.dropped(xo, r, lo, ly, mod))
		}
		if dx == nil {
			continue
		}
		dh := resize(p.bwd.dh, rows, rank)
		x.Round(dh, dh32, rank)
		p.inputGradient(ly, mod, dx[r.lo*lin.in:r.hi*lin.in], dh, r, lo, lin.in)
	}
}

// inputGradient adds dh A, the adapter's share of dx, through the dropout mask.
func (p *Pass) inputGradient(ly int, mod Module, dx []float32, dh kernel.Operand, r run, lo *LoRA, in int) {
	x := p.m.x
	if lo.Dropout == 0 {
		x.MatMulT(dx, in, dh, lo.A, 0, lo.Rank, true)
		return
	}
	rows := r.hi - r.lo
	din := p.bwd.din[:rows*in]
	x.MatMulT(din, in, dh, lo.A, 0, lo.Rank, false)
	p.parallel(rows, p.tasks.dropGrad, job{v: dx, w: din, r: r, lo: lo, ly: ly, mod: mod, in: in})
}

func (p *Pass) dropGradTask(i, _ int) {
	j := &p.job
	key := p.dropKey(p.rows[j.r.lo+i], j.lo, j.ly, j.mod)
	d, s := j.v[i*j.in:(i+1)*j.in], j.w[i*j.in:(i+1)*j.in]
	for c := range d {
		if m := j.lo.keep(key, c); m != 0 {
			d[c] += float32(s[c] * m)
		}
	}
}

// lora returns the run's adapter for a projection, nil when there is none.
func (p *Pass) lora(r run, ly int, mod Module) *LoRA {
	if r.adapter == nil {
		return nil
	}
	return r.adapter.Projection(ly, mod)
}

// hidden returns rows lo..hi of the adapters' hidden values with that rank.
func (a *activations) hidden(mod Module, rank, lo, hi int) kernel.Operand {
	h := a.h[mod]
	h.Cols = rank
	return h.Slice(lo, hi)
}

// resize views an operand's memory as rows x cols with its own stride kept.
func resize(o kernel.Operand, rows, cols int) kernel.Operand {
	o.Cols = cols
	return o.Slice(0, rows)
}

// reshape views an operand's memory as rows x cols without gaps, so that
// narrow matrices in a wide scratch stay close together.
func reshape(o kernel.Operand, rows, cols int) kernel.Operand {
	o.Rows, o.Cols, o.Stride = rows, cols, cols+cols&1
	return o
}

func (p *Pass) addBias(dst []float32, bias []float32) {
	p.parallel(p.n, p.tasks.bias, job{v: dst, w: bias})
}

func (p *Pass) biasTask(i, _ int) {
	bias := p.job.w
	row := p.job.v[i*len(bias) : (i+1)*len(bias)]
	for c, b := range bias {
		row[c] += b
	}
}

const scaleChunk = 4096

// scaleRows multiplies v by s.
func (p *Pass) scaleRows(v []float32, s float32) {
	if s != 1 {
		p.parallel((len(v)+scaleChunk-1)/scaleChunk, p.tasks.scale, job{v: v, s: s})
	}
}

func (p *Pass) scaleTask(t, _ int) {
	v := p.job.v
	p.m.x.Scale(v[t*scaleChunk:min(len(v), (t+1)*scaleChunk)], p.job.s)
}

// widen turns an operand into f32, dst [Rows, Cols] without gaps.
func (p *Pass) widen(dst []float32, o kernel.Operand) {
	p.parallel(o.Rows, p.tasks.widen, job{v: dst, o: o})
}

func (p *Pass) widenTask(i, _ int) {
	o := &p.job.o
	d := p.job.v[i*o.Cols : (i+1)*o.Cols]
	if o.Mode == kernel.F32 {
		copy(d, o.F[i*o.Stride:])
		return
	}
	for c, b := range o.B[i*o.Stride : i*o.Stride+o.Cols] {
		d[c] = kernel.F32FromBF16(b)
	}
}
