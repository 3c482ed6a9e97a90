package model

import (
	"dlm/engine/kernel"
	"dlm/engine/weights"
)

// Recompute makes a pass that trains keep, of that many of the first layers, only
// the residual that enters them; Backward computes the rest again, with the same
// bits, into one set of activations that these layers share (gradient
// checkpointing: Chen et al. 2016, arXiv 1604.06174). At most all layers but the
// last: the shared set still holds the last of them when Forward is done.
type Recompute int

// Most is every layer that can be computed again.
func (m *Model) Most() Recompute { return Recompute(m.cfg.Layers - 1) }

// keptLayer is what a layer keeps that shares its other activations.
type keptLayer struct {
	x    []float32      // [N, C] residual that enters it
	down kernel.Operand // [N, R] the down projection's hidden values: all that its multiply leaves for Backward
}

func (p *Pass) planKept(pl *planner, c weights.Config, n, rank int) {
	const use = "activations"
	p.hid2 = pl.f32("scratch", n*c.Hidden)
	for range p.again {
		p.kept = append(p.kept, keptLayer{x: pl.f32(use, n*c.Hidden), down: pl.operand(use, n, rank)})
	}
	p.kept = append(p.kept, keptLayer{x: p.acts[0].x, down: p.acts[0].h[DownProj]})
}

// layerActivations returns where a layer's activations are.
func (p *Pass) layerActivations(ly int) *activations {
	a := &p.acts[max(0, ly-p.again)]
	if ly < len(p.kept) {
		a.x, a.h[DownProj] = p.kept[ly].x, p.kept[ly].down
	}
	return a
}

// recompute brings back the activations of a layer that shares its set. The down
// projection's result is the next layer's residual, which is kept, so its
// multiply is not made again.
func (p *Pass) recompute(ly int) *activations {
	a := p.layerActivations(ly)
	if ly > p.again || ly == p.held {
		return a
	}
	hid := p.hid
	p.hid = p.hid2
	copy(p.hid, a.x[:p.n*p.m.cfg.Hidden])
	p.attentionForward(ly, a)
	p.gatedForward(ly, a)
	p.hid, p.held = hid, ly
	return a
}
