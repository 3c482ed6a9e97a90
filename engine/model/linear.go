package model

import (
	"slices"

	"dlm/engine/kernel"
)

// output is a projection and where its result goes: [N, out].
type output struct {
	mod Module
	dst []float32
}

// linearForward computes projections that share their input, for all rows at
// once: dst [N, out] = x Wᵀ + bias + h Bᵀ, where h = Scale * (x Aᵀ) is kept in a.h
// for the backward pass. With add, dst += instead. Rows of different adapters
// stand side by side, in runs.
//
// B's sum continues in the base's accumulator, so the result is one chain.
func (p *Pass) linearForward(ly int, xo kernel.Operand, a *activations, add bool, outs ...output) {
	next := p.prepare(ly, xo, a, add, outs...)
	p.m.x.Project(xo, p.proj, next...)
	clear(p.proj)
}

// gatedLinear is linearForward of gate and up, and SwiGLU of both into act.
func (p *Pass) gatedLinear(ly int, act, xo kernel.Operand, a *activations, gate, up output) {
	next := p.prepare(ly, xo, a, false, gate, up)
	p.m.x.ProjectGated(act, xo, p.proj, next...)
	clear(p.proj)
}

// prepare lists the projections in p.proj, says which memory is read after them and
// returns the shares that are added then.
func (p *Pass) prepare(ly int, xo kernel.Operand, a *activations, add bool, outs ...output) (next [][]kernel.LowRank) {
	p.proj = p.proj[:0]
	for _, o := range outs {
		lin := &p.m.layers[ly].proj[o.mod]
		p.proj = append(p.proj, kernel.Projection{
			Dst: o.dst, Ldd: lin.out, W: lin.w, Bias: lin.bias, Accumulate: add, Low: p.lowRanks(ly, o.mod, xo, a),
		})
	}
	last := outs[len(outs)-1].mod
	var between [][]kernel.Span
	switch {
	case last == DownProj && !p.train && ly+1 < len(p.m.layers):
		between = p.att.reads // of the next layer; the multiply after that begins at the other end
	case last == VProj:
		between = p.att.reads
		for _, spans := range between {
			slices.Reverse(spans)
		}
	}
	p.m.x.Coming(p.m.layers[ly].after[last], between)
	return p.following(ly, last)
}

// lowRank is a run's share of a projection. Where channels are dropped, h is
// computed here: each adapted projection has an input of its own.
func (p *Pass) lowRank(r run, lo *LoRA, ly int, mod Module, xo kernel.Operand, a *activations) kernel.LowRank {
	x, h := p.m.x, a.hidden(mod, lo.Rank, r.lo, r.hi)
	low := kernel.LowRank{Lo: r.lo, Hi: r.hi, A: lo.A, B: lo.B, Scale: lo.Scale, H: h}
	if p.train && lo.Dropout > 0 {
		h32 := p.fwd.h32[:(r.hi-r.lo)*lo.Rank]
		x.MatMul(h32, lo.Rank, p.dropped(xo, r, lo, ly, mod), lo.A, false)
		x.ScaleRound(h, h32, lo.Scale)
		low.A = nil
	}
	return low
}

// linearBackward takes dy [N, out], the rounded gradient of linearForward's dst,
// adds the gradients of A and B, and gives dx [N, in] (= or +=, by add), the
// gradient of x; a nil dx is not wanted. Each quoted line is the forward's.
func (p *Pass) linearBackward(ly int, mod Module, dx []float32, dy, xo kernel.Operand, a *activations, add bool) {
	lin := &p.m.layers[ly].proj[mod]
	x := p.m.x
	p.lowT = p.lowT[:0]
	for _, r := range p.runs {
		lo := p.lora(r, ly, mod)
		if lo == nil {
			continue
		}
		rows, rank := r.hi-r.lo, lo.Rank
		dyr := dy.Slice(r.lo, r.hi)
		dh32, dh := p.bwd.dh32[:rows*rank], p.hiddenGradient(r, rank)
		if lo.GradBT != nil { // LowRank H Bᵀ: dBᵀ += hᵀ dy
			h32 := p.bwd.h32[:rows*rank]
			x.Widen(h32, a.hidden(mod, rank, r.lo, r.hi))
			x.OuterAccum(lo.GradBT, lin.out, h32, rank, rank, dyr)
		}
		x.MatMulT(dh32, rank, dyr, lo.B, 0, lin.out, false) // the same: dh = dy B
		x.ScaleRound(dh, dh32, lo.Scale)                    // LowRank Scale
		if lo.GradA != nil {                                // LowRank x Aᵀ: dA += dhᵀ x
			x.OuterAccum(lo.GradA, lin.in, dh32, rank, rank, p.dropped(xo, r, lo, ly, mod))
		}
		if lo.Dropout == 0 { // the same: dx += dh A
			p.lowT = append(p.lowT, kernel.LowRankT{Lo: r.lo, Hi: r.hi, H: dh, A: lo.A})
		}
	}
	if dx == nil {
		return
	}
	x.MatMulTLow(dx, lin.in, dy, lin.w, 0, lin.out, add, p.lowT) // Project(xo, W): dx = dy W
	for _, r := range p.runs {
		if lo := p.lora(r, ly, mod); lo != nil && lo.Dropout != 0 {
			p.droppedGradient(ly, mod, dx[r.lo*lin.in:r.hi*lin.in], r, lo, lin.in)
		}
	}
}

// hiddenGradient is where the rounded gradient of a run's hidden values is.
func (p *Pass) hiddenGradient(r run, rank int) kernel.Operand {
	dh := p.bwd.dh
	dh.Cols = rank
	return dh.Slice(r.lo, r.hi)
}

// droppedGradient adds dh A, the adapter's share of dx, through the dropout mask.
func (p *Pass) droppedGradient(ly int, mod Module, dx []float32, r run, lo *LoRA, in int) {
	din := p.bwd.din[:(r.hi-r.lo)*in]
	p.m.x.MatMulT(din, in, p.hiddenGradient(r, lo.Rank), lo.A, 0, lo.Rank, false)
	p.parallel(r.hi-r.lo, p.tasks.dropGrad, job{v: dx, w: din, r: r, lo: lo, ly: ly, mod: mod, in: in})
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

// reshape views an operand's memory as rows x cols without gaps, so that
// narrow matrices in a wide scratch stay close together.
func reshape(o kernel.Operand, rows, cols int) kernel.Operand {
	o.Rows, o.Cols, o.Stride = rows, cols, cols+cols&1
	return o
}
