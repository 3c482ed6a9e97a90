package model

import (
	"slices"

	"dlm/engine/kernel"
)

// sharedRuns remembers the low-rank shares of every projection from one pass to
// the next. Decoding comes back to the same rows of the same adapters step by
// step, and asking 32 adapters for 210 projections each, all of them out of the
// cache since the last step, took some percent of it.
type sharedRuns struct {
	runs []run
	low  [][NumModules][]kernel.LowRank // by layer
	side [][NumModules][]kernel.Panels  // their A and B in turns, side by side
	have [][NumModules]bool
}

// recall keeps what is remembered if the pass has the runs of the last one. A
// pass that trains remembers nothing: its rows change, and so do dropout masks.
func (p *Pass) recall() {
	s := &p.shares
	if s.low == nil {
		s.side = make([][NumModules][]kernel.Panels, len(p.m.layers))
		s.low, s.have = make([][NumModules][]kernel.LowRank, len(p.m.layers)), make([][NumModules]bool, len(p.m.layers))
	}
	if p.train || !slices.Equal(s.runs, p.runs) {
		clear(s.have)
	}
	s.runs = append(s.runs[:0], p.runs...)
}

// lowRanks returns the adapters' shares of a projection.
func (p *Pass) lowRanks(ly int, mod Module, xo kernel.Operand, a *activations) []kernel.LowRank {
	low, have := &p.shares.low[ly][mod], &p.shares.have[ly][mod]
	if *have {
		return *low
	}
	clear(*low)
	*low = slices.Grow((*low)[:0], len(p.runs))
	for _, r := range p.runs {
		if lo := p.lora(r, ly, mod); lo != nil {
			*low = append(*low, p.lowRank(r, lo, ly, mod, xo, a))
		}
	}
	if *have = !p.train; *have {
		p.shares.side[ly][mod] = sideBySide(p.shares.side[ly][mod], *low)
	}
	return *low
}

// sideBySide copies what describes the matrices of the shares, not the matrices,
// into dst, in the order in which multiplies look at it: in the adapters themselves
// each is a line of memory far from the next, and out of the cache since the last step.
func sideBySide(dst []kernel.Panels, low []kernel.LowRank) []kernel.Panels {
	dst = slices.Grow(dst[:0], 2*len(low))
	for i := range low {
		dst = append(dst, *low[i].A, *low[i].B)
		low[i].A, low[i].B = &dst[2*i], &dst[2*i+1]
	}
	return dst
}

// following gives the shares of the projections that come after mod, the last of
// its group, as far as they are remembered: the multiply fetches their memory.
func (p *Pass) following(ly int, mod Module) [][]kernel.LowRank {
	p.next = p.next[:0]
	var group []Module
	switch mod {
	case VProj:
		group = afterV[:]
	case OProj:
		group = afterO[:]
	case UpProj:
		group = afterUp[:]
	case DownProj:
		group = afterDown[:]
		ly++
	}
	if ly == len(p.shares.low) {
		return nil
	}
	for _, m := range group {
		if p.shares.have[ly][m] {
			p.next = append(p.next, p.shares.low[ly][m])
		}
	}
	return p.next
}

var (
	afterV    = [...]Module{OProj}
	afterO    = [...]Module{GateProj, UpProj}
	afterUp   = [...]Module{DownProj}
	afterDown = [...]Module{QProj, KProj, VProj}
)
