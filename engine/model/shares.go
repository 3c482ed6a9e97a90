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
	have [][NumModules]bool
}

// recall keeps what is remembered if the pass has the runs of the last one. A
// pass that trains remembers nothing: its rows change, and so do dropout masks.
func (p *Pass) recall() {
	s := &p.shares
	if s.low == nil {
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
	*have = !p.train
	return *low
}
