package model

import "dlm/engine/kernel"

// Forward runs the segments' tokens through every layer. Rows of all segments
// stand one after the other; nothing is padded. Keys and values of segments with
// a cache are written into it; its owner counts them after the pass.
func (p *Pass) Forward(segs []Segment) error {
	if err := p.admit(segs); err != nil {
		return err
	}
	p.embed()
	for i := range p.m.layers {
		a := p.layerActivations(i)
		p.attentionForward(i, a)
		p.mlpForward(i, a)
	}
	p.held = p.again
	return nil
}

// embed writes the tokens' embeddings into the residual, p.hid [N, C].
func (p *Pass) embed() {
	p.parallel(p.n, p.tasks.embed, job{})
}

func (p *Pass) embedTask(i, _ int) {
	r, c := p.rows[i], p.m.cfg.Hidden
	seg := &p.segs[r.seg]
	p.m.embed.RowF32(int(seg.IDs[r.pos-seg.Start]), p.hid[i*c:(i+1)*c])
}

// keep is where a residual is kept for the backward pass: nowhere if there is none.
func (p *Pass) keep(x []float32) []float32 {
	if !p.train {
		return nil
	}
	return x
}

// attentionForward: x2 = x + o_proj(attention(norm(x))), from p.hid into p.hid.
func (p *Pass) attentionForward(ly int, a *activations) {
	cfg, x, l := &p.m.cfg, p.m.x, &p.m.layers[ly]
	c, n := cfg.Hidden, p.n
	qDim, kvDim := cfg.Heads*cfg.HeadDim, cfg.KVHeads*cfg.HeadDim
	if ly == 0 || p.train { // else planned during the layer before
		p.planAttend(ly)
	}
	n1 := a.n1.Slice(0, n)
	x.RMSNormKeep(n1, a.rstd1, p.keep(a.x), p.hid, l.attnNorm, cfg.NormEps, n, c)

	q32, k32, v32 := p.fwd.wide[:n*qDim], p.fwd.k[:n*kvDim], p.fwd.v[:n*kvDim]
	if cfg.QKNorm {
		p.linearForward(ly, n1, a, false, output{QProj, a.q0}, output{KProj, a.k0}, output{VProj, v32})
		p.headNormForward(q32, a.qr, a.q0, l.qNorm)
		p.headNormForward(k32, a.kr, a.k0, l.kNorm)
	} else {
		p.linearForward(ly, n1, a, false, output{QProj, q32}, output{KProj, k32}, output{VProj, v32})
	}
	p.turnAll(a, q32, k32, v32)

	p.attend(a)
	p.linearForward(ly, a.att.Slice(0, n), a, true, output{OProj, p.hid[:n*c]}) // the residual is the accumulator
}

// attentionBackward: p.bwd.dx [N, C] is the gradient of x2 on entry and of x on
// return. At layer 0 nothing below wants x's gradient, so it is left out.
func (p *Pass) attentionBackward(ly int, a *activations) {
	cfg, x, l, b := &p.m.cfg, p.m.x, &p.m.layers[ly], &p.bwd
	c, n := cfg.Hidden, p.n
	qDim, kvDim := cfg.Heads*cfg.HeadDim, cfg.KVHeads*cfg.HeadDim
	dy := reshape(b.dy, n, c)
	x.Round(dy, b.dx, c)
	datt := b.dwide[:n*qDim]
	p.linearBackward(ly, OProj, datt, dy, a.att.Slice(0, n), a, false) // linearForward(OProj, hid, att)
	p.attendBackward(a, datt)                                          // attend(q, k, v)
	var dn []float32
	if ly > 0 {
		dn = b.dnorm[:n*c]
	}
	n1 := a.n1.Slice(0, n)
	for _, g := range [...]struct {
		mod Module
		d   []float32
		out int
	}{{QProj, b.dq, qDim}, {KProj, b.dk, kvDim}, {VProj, b.dv, kvDim}} {
		dy := reshape(b.dy, n, g.out)
		switch {
		case g.mod == VProj:
			x.Round(dy, g.d, g.out)
		case !cfg.QKNorm:
			p.turn(dy, g.d, -1) // turn(q, q32), turn(k, k32)
		default:
			norm, before, rstd := l.qNorm, a.q0, a.qr
			if g.mod == KProj {
				norm, before, rstd = l.kNorm, a.k0, a.kr
			}
			p.turn(kernel.Operand{Mode: kernel.F32, Rows: n, Cols: g.out, Stride: g.out, F: g.d}, g.d, -1)
			d := p.headNormBackward(b.dwide[:n*g.out], g.d, before, norm, rstd) // headNormForward(q32, qr, q0), datt is used up; or of k
			x.Round(dy, d, g.out)
		}
		p.linearBackward(ly, g.mod, dn, dy, n1, a, g.mod != QProj) // linearForward(Q, K, V, n1)
	}
	if ly > 0 { // RMSNorm(n1, x); the residual's own gradient stays in dx
		x.RMSNormBackward(b.dx, dn, a.x, l.attnNorm, a.rstd1, n, c)
	}
}

// mlpForward: x3 = x2 + down(silu(gate(norm(x2))) * up(norm(x2))), p.hid into p.hid.
func (p *Pass) mlpForward(ly int, a *activations) {
	p.gatedForward(ly, a)
	c, n := p.m.cfg.Hidden, p.n
	if !p.train && ly+1 < len(p.m.layers) { // this layer's attention is over
		p.planAttend(ly + 1)
	}
	p.linearForward(ly, a.act.Slice(0, n), a, true, output{DownProj, p.hid[:n*c]})
}

// gatedForward is mlpForward up to the down projection.
func (p *Pass) gatedForward(ly int, a *activations) {
	cfg, x, l := &p.m.cfg, p.m.x, &p.m.layers[ly]
	c, f, n := cfg.Hidden, cfg.FFN, p.n
	n2 := a.n2.Slice(0, n)
	x.RMSNormKeep(n2, a.rstd2, p.keep(a.x2), p.hid, l.mlpNorm, cfg.NormEps, n, c)
	p.gatedLinear(ly, a.act.Slice(0, n), n2, a, output{GateProj, a.gate[:n*f]}, output{UpProj, a.up[:n*f]})
}

// mlpBackward: p.bwd.dx is the gradient of x3 on entry and of x2 on return.
func (p *Pass) mlpBackward(ly int, a *activations) {
	cfg, x, l, b := &p.m.cfg, p.m.x, &p.m.layers[ly], &p.bwd
	c, f, n := cfg.Hidden, cfg.FFN, p.n
	dy := reshape(b.dy, n, c)
	x.Round(dy, b.dx, c)
	dact := b.dwide[:n*f]
	p.linearBackward(ly, DownProj, dact, dy, a.act.Slice(0, n), a, false) // linearForward(DownProj, hid, act)
	dgate, dup := reshape(b.dy, n, f), b.dy2.Slice(0, n)
	x.SwiGLUBackward(dgate, dup, dact, a.gate, a.up, n, f) // SwiGLU(act, gate, up)
	dn, n2 := b.dnorm[:n*c], a.n2.Slice(0, n)
	p.linearBackward(ly, GateProj, dn, dgate, n2, a, false)     // linearForward(GateProj, gate, n2)
	p.linearBackward(ly, UpProj, dn, dup, n2, a, true)          // linearForward(UpProj, up, n2)
	x.RMSNormBackward(b.dx, dn, a.x2, l.mlpNorm, a.rstd2, n, c) // RMSNorm(n2, x2)
}

// Backward takes the gradient of the loss with respect to each target's
// log-probability (as LogProbs gave it) and adds the gradients of the adapters
// of every segment. It must follow Forward on a pass that trains.
func (p *Pass) Backward(targets []Target, dlogp []float32) {
	p.headBackward(targets, dlogp)
	for i := len(p.m.layers) - 1; i >= 0; i-- {
		a := p.recompute(i)
		p.mlpBackward(i, a)
		p.attentionBackward(i, a)
	}
}
