package model

import (
	"dlm/engine/kernel"
)

// backwardTiles are one worker's buffers in attention's backward pass.
type backwardTiles struct {
	s, dp  []float32      // [64, 64]
	ds     kernel.Operand // [64, 64] rounded gradient of the scores
	t      kernel.Operand // [64, 64] a transposed tile
	do     kernel.Operand // [64, D] rounded gradient of the result
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
		do:    pl.operand(use, chunkRows, d),
		qRows: byPos(), doRows: byPos(), kRows: byPos(), kCols: byPos(), vCols: byPos(),
		dk: pl.f32(use, BlockLen*d), dv: pl.f32(use, BlockLen*d),
		m: pl.f32(use, chunkRows), inv: pl.f32(use, chunkRows), delta: pl.f32(use, chunkRows),
	}
	b.kCols.K, b.kCols.N = d, BlockLen
	b.vCols.K, b.vCols.N = d, BlockLen
	return b
}

// attendBackward takes datt [N, H*D], the gradient of attend's result, and sets
// p.bwd.dq, dk and dv. One task is one segment and key-value head: its query
// heads, and for each key block its queries, follow in order, so that every sum
// runs over one sequence in a fixed order.
func (p *Pass) attendBackward(a *activations, datt []float32) {
	kv := p.m.cfg.KVHeads
	clear(p.bwd.dq)
	p.parallel(len(p.segs)*kv, p.tasks.attendBack, job{a: a, v: datt})
}

func (p *Pass) attendBackTask(t, worker int) {
	kv := p.m.cfg.KVHeads
	p.attendBackwardHead(p.job.a, p.job.v, t/kv, t%kv, &p.att.bwd[worker])
}

func (p *Pass) attendBackwardHead(a *activations, datt []float32, seg, kvHead int, w *backwardTiles) {
	cfg := &p.m.cfg
	d, group := cfg.HeadDim, cfg.Heads/cfg.KVHeads
	lo, n := p.segmentRow(seg), len(p.segs[seg].IDs)
	for b := 0; b*BlockLen < n; b++ {
		keys := min(BlockLen, n-b*BlockLen)
		key := lo + b*BlockLen
		p.loadKeyTiles(a, w, key, keys, kvHead*d)
		clear(w.dk)
		clear(w.dv)
		for g := range group {
			head := kvHead*group + g
			for q := b * BlockLen; q < n; q += chunkRows { // earlier queries see nothing of this block
				rows := min(chunkRows, n-q)
				p.tileBackward(a, datt, w, tile{head: head, row: lo + q, rows: rows, pos: q, block: b, key: key, keys: keys, kvHead: kvHead})
			}
		}
		for j := range keys {
			at := (key+j)*cfg.KVHeads*d + kvHead*d
			copy(p.bwd.dk[at:at+d], w.dk[j*d:(j+1)*d])
			copy(p.bwd.dv[at:at+d], w.dv[j*d:(j+1)*d])
		}
	}
}

// tile is a chunk of one head's queries against one block of keys.
type tile struct {
	head, kvHead   int
	row, rows, pos int // queries: first row of the pass, how many, first position
	block          int
	key, keys      int // keys: first row of the pass, how many
}

func (p *Pass) loadKeyTiles(a *activations, w *backwardTiles, key, keys, col int) {
	clearBlock(w.kRows)
	clearBlock(w.kCols)
	clearBlock(w.vCols)
	k, v := headRows(a.k, key, keys, col, p.m.cfg.HeadDim), headRows(a.v, key, keys, col, p.m.cfg.HeadDim)
	p.m.x.PutColumns(w.kCols, 0, k)
	p.m.x.PutRows(w.kRows, 0, k)
	p.m.x.PutColumns(w.vCols, 0, v)
}

// tileBackward adds one tile's share. With p = softmax weight, o = result:
//
//	delta = Σ_d do o;  dp = do vᵀ;  ds = p (dp - delta) / sqrt(D)
//	dv += pᵀ do;  dk += dsᵀ q;  dq += ds k
//
// (Dao et al. 2022, arXiv 2205.14135, algorithm 4.)
func (p *Pass) tileBackward(a *activations, datt []float32, w *backwardTiles, t tile) {
	cfg, x := &p.m.cfg, p.m.x
	d, heads := cfg.HeadDim, cfg.Heads
	q := headRows(a.q, t.row, t.rows, t.head*d, d)
	p.loadQueryTiles(a, datt, w, t, q)
	x.MulBlock(w.s, BlockLen, q, w.kCols, false)                      // scores = q kᵀ
	x.MulBlock(w.dp, BlockLen, w.do.Slice(0, t.rows), w.vCols, false) // out += w v: dp = do vᵀ
	for i := range t.rows {
		at := (t.row+i)*heads + t.head
		w.m[i], w.inv[i] = a.smax[at], 1/a.ssum[at]
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

// loadQueryTiles lays out a chunk's queries and gradients and computes delta.
func (p *Pass) loadQueryTiles(a *activations, datt []float32, w *backwardTiles, t tile, q kernel.Operand) {
	x, d, wide := p.m.x, p.m.cfg.HeadDim, p.m.cfg.Heads*p.m.cfg.HeadDim
	do := w.do.Slice(0, t.rows)
	x.RoundRows(do, datt[t.row*wide+t.head*d:], wide)
	if t.rows < BlockLen {
		clearBlock(w.qRows)
		clearBlock(w.doRows)
	}
	x.PutRows(w.qRows, 0, q)
	x.PutRows(w.doRows, 0, do)
	o := headRows(a.att, t.row, t.rows, t.head*d, d)
	for i := range t.rows {
		w.delta[i] = x.DotOperand(datt[(t.row+i)*wide+t.head*d:][:d], o, i)
	}
}
