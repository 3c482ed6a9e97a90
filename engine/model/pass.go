package model

import (
	"fmt"

	"dlm/engine/kernel"
	"dlm/engine/weights"
)

// Pass holds every buffer of a forward and, when it trains, a backward pass over
// at most maxTokens rows. Buffers are planned once in NewPass. A Pass is used by
// one goroutine.
type Pass struct {
	m     *Model
	train bool
	max   int // rows
	step  int // optimiser step, for dropout masks

	n      int       // rows of the last Forward
	segs   []Segment // of the last Forward
	job    job       // arguments of the task at hand
	tasks  taskFuncs
	rows   []rowInfo           // [N]
	runs   []run               // rows that share an adapter
	proj   []kernel.Projection // of the multiply at hand
	shares sharedRuns          // their adapters' shares
	next   [][]kernel.LowRank  // those of the multiply after it
	lowT   []kernel.LowRankT   // the same in a backward multiply

	branches []branch // of segs

	acts  []activations // when training one per layer, of which the first again + 1 layers share one; else one
	again int           // layers whose activations Backward computes again
	kept  []keptLayer   // of the layers that share
	held  int           // layer whose activations the shared set holds
	hid   []float32     // [N, C] residual after the last layer
	hid2  []float32     // [N, C] residual of a layer that is computed again
	fwd   forwardScratch
	bwd   backwardScratch
	att   attentionScratch
	head  headScratch
}

// rowInfo says where a row stands in its sequence.
type rowInfo struct {
	seg int // index into segs
	pos int // position in the sequence
}

// run is a stretch of rows lo..hi that share an adapter.
type run struct {
	lo, hi  int
	adapter Adapter
}

// activations are what the backward pass reads of one layer.
type activations struct {
	x          []float32                  // [N, C] residual that enters the layer
	n1, n2     kernel.Operand             // [N, C] normalised, before attention and before the MLP
	rstd1      []float32                  // [N]
	rstd2      []float32                  // [N]
	q0, k0     []float32                  // [N, H*D], [N, K*D] before the norm of each head; nil without QKNorm
	qr, kr     []float32                  // [N, H], [N, K] that norm's 1/sqrt(mean square)
	q          kernel.Operand             // [N, H*D] after RoPE
	k, v       kernel.Operand             // [N, K*D]; k after RoPE
	att        kernel.Operand             // [N, H*D] attention's result
	smax, ssum []float32                  // [N, H] softmax maximum and sum of each row and head
	x2         []float32                  // [N, C] residual after attention
	gate, up   []float32                  // [N, F]
	act        kernel.Operand             // [N, F] silu(gate) * up
	h          [NumModules]kernel.Operand // [N, R] the adapters' Scale * (x Aᵀ)
}

// forwardScratch is shared by all layers.
type forwardScratch struct {
	wide []float32      // [N, max(H*D, F)]
	k, v []float32      // [N, K*D]
	h32  []float32      // [N, R]
	drop kernel.Operand // [N, max in], x after dropout
}

// backwardScratch is shared by all layers.
type backwardScratch struct {
	dx         []float32      // [N, C] gradient of the residual
	dnorm      []float32      // [N, C]
	dwide      []float32      // [N, max(H*D, F)]
	dq, dk, dv []float32      // [N, H*D], [N, K*D], [N, K*D]
	delta      []float32      // [N, H] Σ_d of attention's result times its gradient
	dy         kernel.Operand // [N, max out] rounded gradient of a projection's result
	dy2        kernel.Operand // [N, F]
	h32        []float32      // [N, R]
	dh32       []float32      // [N, R]
	dh         kernel.Operand // [N, R]
	din        []float32      // [N, max in], gradient before dropout
}

// planner allocates buffers, or only counts them.
type planner struct {
	dry   bool
	mode  kernel.Mode
	bytes map[string]int64
	total int64         // of bytes, as the arena counts
	arena *kernel.Arena // unless dry
}

func (p *planner) f32(use string, n int) []float32 {
	p.count(use, int64(n)*4)
	if p.dry {
		return nil
	}
	return p.arena.F32(n)
}

func (p *planner) count(use string, n int64) {
	p.bytes[use] += n
	p.total += kernel.ArenaBytes(n)
}

func (p *planner) operand(use string, rows, cols int) kernel.Operand {
	size := int64(2)
	if p.mode == kernel.F32 {
		size = 4
	}
	p.count(use, int64(rows)*int64(cols+cols&1)*size)
	if p.dry {
		return kernel.Operand{}
	}
	return p.arena.Operand(p.mode, rows, cols)
}

// PassBytes returns what NewPass will allocate for that many tokens, by use:
// "activations" (kept for the backward pass), "scratch", "attention", "logits".
// rank is the adapters' rank.
func PassBytes(cfg weights.Config, mode kernel.Mode, maxTokens, rank int, train bool, threads int, again ...Recompute) map[string]int64 {
	pl := &planner{dry: true, mode: mode, bytes: map[string]int64{}}
	new(Pass).plan(pl, cfg, maxTokens, rank, train, threads, again...)
	return pl.bytes
}

// NewPass plans a pass over at most maxTokens rows for adapters of at most that
// rank (0: the base alone). A pass that trains keeps every layer's activations,
// but for those that again says to recompute.
func (m *Model) NewPass(maxTokens, rank int, train bool, again ...Recompute) *Pass {
	p := &Pass{m: m, train: train, max: maxTokens}
	count := &planner{dry: true, mode: m.mode, bytes: map[string]int64{}}
	new(Pass).plan(count, m.cfg, maxTokens, rank, train, m.x.Threads(), again...)
	pl := &planner{mode: m.mode, bytes: map[string]int64{}, arena: kernel.NewArena(count.total)}
	p.plan(pl, m.cfg, maxTokens, rank, train, m.x.Threads(), again...)
	p.rows = make([]rowInfo, 0, maxTokens)
	p.bindTasks()
	return p
}

func (p *Pass) plan(pl *planner, c weights.Config, n, rank int, train bool, threads int, again ...Recompute) {
	qDim, kvDim := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	wide := max(qDim, c.FFN)
	p.again = c.Layers - 1
	if train {
		p.again = 0
		for _, a := range again {
			p.again = min(max(0, int(a)), c.Layers-1)
		}
	}
	p.acts = make([]activations, c.Layers-p.again)
	for i := range p.acts {
		p.acts[i] = planActivations(pl, c, n, rank)
	}
	const s = "scratch"
	p.hid = pl.f32(s, n*c.Hidden)
	if train && p.again > 0 {
		p.planKept(pl, c, n, rank)
	}
	p.fwd = forwardScratch{
		wide: pl.f32(s, n*wide), k: pl.f32(s, n*kvDim), v: pl.f32(s, n*kvDim),
		h32: pl.f32(s, n*rank),
	}
	if train {
		p.fwd.drop = pl.operand(s, n, max(wide, c.Hidden))
		p.bwd = backwardScratch{
			dx: pl.f32(s, n*c.Hidden), dnorm: pl.f32(s, n*c.Hidden), dwide: pl.f32(s, n*wide),
			dq: pl.f32(s, n*qDim), dk: pl.f32(s, n*kvDim), dv: pl.f32(s, n*kvDim), delta: pl.f32(s, n*c.Heads),
			dy: pl.operand(s, n, max(wide, c.Hidden)), dy2: pl.operand(s, n, c.FFN),
			h32: pl.f32(s, n*rank), dh32: pl.f32(s, n*rank), dh: pl.operand(s, n, rank),
			din: pl.f32(s, n*max(wide, c.Hidden)),
		}
	}
	p.att = planAttention(pl, c, n, train, threads)
	p.head = planHead(pl, c, n, train)
}

func planActivations(pl *planner, c weights.Config, n, rank int) activations {
	const a = "activations"
	qDim, kvDim := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	act := activations{
		x: pl.f32(a, n*c.Hidden), n1: pl.operand(a, n, c.Hidden), n2: pl.operand(a, n, c.Hidden),
		rstd1: pl.f32(a, n), rstd2: pl.f32(a, n),
		q: pl.operand(a, n, qDim), k: pl.operand(a, n, kvDim), v: pl.operand(a, n, kvDim),
		att: pl.operand(a, n, qDim), smax: pl.f32(a, n*c.Heads), ssum: pl.f32(a, n*c.Heads),
		x2: pl.f32(a, n*c.Hidden), gate: pl.f32(a, n*c.FFN), up: pl.f32(a, n*c.FFN),
		act: pl.operand(a, n, c.FFN),
	}
	if c.QKNorm {
		act.q0, act.k0 = pl.f32(a, n*qDim), pl.f32(a, n*kvDim)
		act.qr, act.kr = pl.f32(a, n*c.Heads), pl.f32(a, n*c.KVHeads)
	}
	for mod := range act.h {
		act.h[mod] = pl.operand(a, n, rank)
	}
	return act
}

// SetStep names the optimiser step, which dropout masks depend on.
func (p *Pass) SetStep(step int) { p.step = step }

// Rows returns the number of rows of the last Forward.
func (p *Pass) Rows() int { return p.n }

// MaxTokens returns the number of rows that the pass was planned for.
func (p *Pass) MaxTokens() int { return p.max }

// admit checks the segments and lays out the rows.
func (p *Pass) admit(segs []Segment) error {
	p.rows, p.runs, p.n = p.rows[:0], p.runs[:0], 0
	p.segs, p.branches = append(p.segs[:0], segs...), p.branches[:0]
	last := 0
	for s, seg := range segs {
		if err := p.admitSegment(s, seg); err != nil {
			return err
		}
		if err := p.admitBranch(s); err != nil {
			return err
		}
		end := seg.Start + len(seg.IDs)
		last = max(last, end)
		lo := p.n
		for i := range seg.IDs {
			p.rows = append(p.rows, rowInfo{seg: s, pos: seg.Start + i})
		}
		p.n += len(seg.IDs)
		if k := len(p.runs); k > 0 && p.runs[k-1].adapter == seg.Adapter {
			p.runs[k-1].hi = p.n
		} else {
			p.runs = append(p.runs, run{lo, p.n, seg.Adapter})
		}
	}
	p.m.rope.grow(last)
	p.recall()
	return nil
}

func (p *Pass) admitSegment(s int, seg Segment) error {
	c := &p.m.cfg
	switch {
	case len(seg.IDs) == 0:
		return fmt.Errorf("segment %d has no tokens", s)
	case p.n+len(seg.IDs) > p.max:
		return fmt.Errorf("segment %d: %d rows so far and %d more; the pass was planned for %d", s, p.n, len(seg.IDs), p.max)
	case seg.Start+len(seg.IDs) > c.MaxSeq:
		return fmt.Errorf("segment %d ends at position %d; the base's context is %d tokens", s, seg.Start+len(seg.IDs), c.MaxSeq)
	case seg.Cache == nil && seg.Parent == 0 && seg.Start != 0:
		return fmt.Errorf("segment %d starts at position %d without a parent or a cache that holds what stands before", s, seg.Start)
	case seg.Cache != nil && seg.Cache.Len() != seg.Start:
		return fmt.Errorf("segment %d starts at position %d; its cache holds %d", s, seg.Start, seg.Cache.Len())
	case p.train && seg.Cache != nil:
		return fmt.Errorf("segment %d has a cache; a pass that trains takes whole sequences", s)
	}
	for i, id := range seg.IDs {
		if id < 0 || int(id) >= c.Vocab {
			return fmt.Errorf("segment %d, token %d: id %d is outside the vocabulary of %d", s, i, id, c.Vocab)
		}
	}
	return nil
}
