package model

import (
	"dlm/engine/kernel"
)

// backwardTiles are one worker's buffers in attention's backward pass.
type backwardTiles struct {
	s, dp  []float32      // [64, 64]
	ds     kernel.Operand // [64, 64] rounded gradient of the scores
	t      kernel.Operand // [64, 64] a transposed tile
	qRows  kernel.Block   // [64, D] a chunk of queries, by position
	doRows kernel.Block   // [64, D] the gradient of the result, by position
	kRows  kernel.Block   // [64, D] a block of keys, by position
	kCols  kernel.Block   // [D, 64] the same keys, by channel
	vCols  kernel.Block   // [D, 64] a block of values, by channel
	dk, dv []float32      // [64, D]
	m, inv []float32      // [64] softmax maximum and reciprocal sum of the rows
	delta  []float32      // [64]
}

func planBackwardTiles(pl *planner, use string, d int) backwardTiles {
	byPos := func() kernel.Block {
		o := pl.operand(use, BlockLen, d)
		return kernel.Block{Mode: pl.mode, K: BlockLen, N: d, B: o.B, F: o.F}
	}
	b := backwardTiles{
		s: pl.f32(use, chunkRows*BlockLen), dp: pl.f32(use, chunkRows*BlockLen),
		ds: pl.operand(use, chunkRows, BlockLen), t: pl.operand(use, BlockLen, chunkRows),
		qRows: byPos(), doRows: byPos(), kRows: byPos(), kCols: byPos(), vCols: byPos(),
		dk: pl.f32(use, BlockLen*d), dv: pl.f32(use, BlockLen*d),
		m: pl.f32(use, chunkRows), inv: pl.f32(use, chunkRows), delta: pl.f32(use, chunkRows),
	}
	b.kCols.K, b.kCols.N = d, BlockLen
	b.vCols.K, b.vCols.N = d, BlockLen
	return b
}

// attendBackward takes datt [N, H*D], the gradient of attend's result, and sets
// p.bwd.dq, dk and dv. One task is one tree of segments and one key-value head:
// its segments, their key blocks, its query heads, and for each block the
// segment's queries, follow in order, so that every sum has a fixed order.
func (p *Pass) attendBackward(a *activations, datt []float32) {
	cfg := &p.m.cfg
	do := reshape(p.bwd.dy, p.n, cfg.Heads*cfg.HeadDim) // datt rounded
	j := job{a: a, v: datt, o: do}
	p.parallel((p.n+taskRows-1)/taskRows, p.tasks.delta, j)
	p.parallel(len(p.segs)*cfg.KVHeads, p.tasks.attendBack, j)
}

// deltaTask prepares some rows for all tiles: it rounds their gradient, sets
// delta = Σ_d do o of each head, and clears dq.
func (p *Pass) deltaTask(t, _ int) {
	j, cfg, x := &p.job, &p.m.cfg, p.m.x
	wide, heads := cfg.Heads*cfg.HeadDim, cfg.Heads
	lo, hi := t*taskRows, min((t+1)*taskRows, p.n)
	x.RoundRows(j.o.Slice(lo, hi), j.v[lo*wide:hi*wide], wide)
	for i := lo; i < hi; i++ {
		x.HeadDots(p.bwd.delta[i*heads:(i+1)*heads], j.v[i*wide:(i+1)*wide], j.a.att, i, cfg.HeadDim)
	}
	clear(p.bwd.dq[lo*wide : hi*wide])
}

// attendBackTask takes the tree whose root is its segment; where that is no
// root, another task has it.
func (p *Pass) attendBackTask(t, worker int) {
	kv := p.m.cfg.KVHeads
	root := t / kv
	for s := root; s < len(p.segs); s++ {
		if p.branches[s].root == root {
			p.attendBackwardHead(p.job.a, p.job.o, s, t%kv, &p.att.bwd[worker])
		}
	}
}

// attendBackwardHead adds the share of one segment's queries: to dq of its own
// rows, and to dk and dv of every row of its sequence. do [N, H*D] is the rounded
// gradient of the result.
func (p *Pass) attendBackwardHead(a *activations, do kernel.Operand, s, kvHead int, w *backwardTiles) {
	cfg, seg, row := &p.m.cfg, &p.segs[s], p.branches[s].row
	group, end := cfg.Heads/cfg.KVHeads, seg.Start+len(seg.IDs)
	for b := 0; b*BlockLen < end; b++ {
		lo := b * BlockLen
		hi := min(lo+BlockLen, end)
		p.loadKeyTiles(a, w, s, lo, hi, kvHead)
		clear(w.dk)
		clear(w.dv)
		for g := range group {
			// Earlier queries see nothing of this block. Chunks end at multiples of chunkRows.
			for q := max(lo, seg.Start); q < end; q += chunkRows - q%chunkRows {
				rows := min(chunkRows-q%chunkRows, end-q)
				p.tileBackward(a, do, w, tile{head: kvHead*group + g, row: row + q - seg.Start, rows: rows, pos: q, block: b})
			}
		}
		p.eachSpan(s, lo, hi, func(r span) { p.keyGradients(w, r, r.pos >= seg.Start, kvHead) })
	}
}

// keyGradients hands a block's dk and dv to the rows of a span: the segment that
// the rows belong to comes first in its tree and assigns, later ones add.
func (p *Pass) keyGradients(w *backwardTiles, r span, own bool, kvHead int) {
	d, wide := p.m.cfg.HeadDim, p.m.cfg.KVHeads*p.m.cfg.HeadDim
	for i := range r.n {
		at, slot := (r.row+i)*wide+kvHead*d, (r.pos+i)%BlockLen
		for _, g := range [...]struct{ dst, tile []float32 }{
			{p.bwd.dk[at : at+d], w.dk[slot*d : (slot+1)*d]}, {p.bwd.dv[at : at+d], w.dv[slot*d : (slot+1)*d]},
		} {
			if own {
				copy(g.dst, g.tile)
			} else {
				p.m.x.Axpy(g.dst, 1, g.tile)
			}
		}
	}
}

// tile is a chunk of one head's queries against one block of keys.
type tile struct {
	head           int
	row, rows, pos int // queries: first row of the pass, how many, first position
	block          int
}

// loadKeyTiles lays out the keys and values of positions lo..hi-1, one block of
// the sequence that ends with segment s.
func (p *Pass) loadKeyTiles(a *activations, w *backwardTiles, s, lo, hi, kvHead int) {
	clearBlock(w.kRows)
	clearBlock(w.kCols)
	clearBlock(w.vCols)
	p.eachSpan(s, lo, hi, func(r span) { p.loadKeyRows(a, w, r, kvHead) })
}

func (p *Pass) loadKeyRows(a *activations, w *backwardTiles, r span, kvHead int) {
	x, d, slot := p.m.x, p.m.cfg.HeadDim, r.pos%BlockLen
	k, v := headRows(a.k, r.row, r.n, kvHead*d, d), headRows(a.v, r.row, r.n, kvHead*d, d)
	x.PutColumns(w.kCols, slot, k)
	x.PutRows(w.kRows, slot, k)
	x.PutColumns(w.vCols, slot, v)
}

// tileBackward adds one tile's share. With p = softmax weight, o = result:
//
//	delta = Σ_d do o;  dp = do vᵀ;  ds = p (dp - delta) / sqrt(D)
//	dv += pᵀ do;  dk += dsᵀ q;  dq += ds k
//
// (Dao et al. 2022, arXiv 2205.14135, algorithm 4.)
func (p *Pass) tileBackward(a *activations, do kernel.Operand, w *backwardTiles, t tile) {
	cfg, x := &p.m.cfg, p.m.x
	d, heads := cfg.HeadDim, cfg.Heads
	q := headRows(a.q, t.row, t.rows, t.head*d, d)
	do = headRows(do, t.row, t.rows, t.head*d, d)
	if t.rows < BlockLen {
		clearBlock(w.qRows)
		clearBlock(w.doRows)
	}
	x.PutRows(w.qRows, 0, q)
	x.PutRows(w.doRows, 0, do)
	x.MulBlock(w.s, BlockLen, q, w.kCols, false)   // scores = q kᵀ
	x.MulBlock(w.dp, BlockLen, do, w.vCols, false) // out += w v: dp = do vᵀ
	for i := range t.rows {
		at := (t.row+i)*heads + t.head
		w.m[i], w.inv[i], w.delta[i] = a.smax[at], 1/a.ssum[at], p.bwd.delta[at]
	}
	// s becomes the weights p, dp becomes ds.
	x.SoftmaxBlockBackward(w.s, w.dp, t.rows, t.pos+1-t.block*BlockLen, attentionScale(d), w.m[:t.rows], w.inv[:t.rows], w.delta[:t.rows])
	tr := w.t.Slice(0, BlockLen)
	tr.Cols = t.rows
	x.TransposeRound(tr, w.s, BlockLen, t.rows)
	doRows, qRows := w.doRows, w.qRows
	if t.rows < BlockLen {
		tr.Cols += t.rows & 1 // an odd last query pairs with a zero
		doRows.K, qRows.K = tr.Cols, tr.Cols
	}
	x.MulBlock(w.dv, d, tr, doRows, true) // out += w v: dv += pᵀ do
	x.TransposeRound(tr, w.dp, BlockLen, t.rows)
	x.MulBlock(w.dk, d, tr, qRows, true) // scores = q kᵀ: dk += dsᵀ q
	ds := w.ds.Slice(0, t.rows)
	x.RoundRows(ds, w.dp, BlockLen)
	dq := p.bwd.dq[t.row*heads*d+t.head*d:]
	x.MulBlock(dq, heads*d, ds, w.kRows, true) // scores = q kᵀ: dq += ds k
}
