package model

import (
	"math"

	"dlm/engine/kernel"
	"dlm/engine/weights"
)

// chunkRows is the number of query rows that one attention task takes. Chunks
// are counted from a sequence's first token, like key blocks.
const chunkRows = BlockLen

// attentionScratch is attention's own memory: blocks for segments without a
// cache, and one worker's tiles.
type attentionScratch struct {
	arena blockArena
	// Per segment and key-value head, of the layer at hand: [S * K].
	keys, values [][]kernel.Block
	joined       []kernel.Block // the lists of segments that share blocks of a parent
	tasks        []attentionTask
	workers      []attentionTiles
	bwd          []backwardTiles
}

// attentionTask is one head's attention for a chunk of rows; for a single row, as
// in decoding, that of all heads which share a key-value head, so that keys and
// values are read once.
type attentionTask struct {
	seg, head, heads int
	row, rows        int // rows of the pass
	pos              int // position of the first
}

// queries is the number of rows of the task's tile.
func (t *attentionTask) queries() int { return t.rows * t.heads }

// at returns the row and the head of the tile's row i.
func (t *attentionTask) at(i int) (row, head int) {
	if t.heads > 1 {
		return t.row, t.head + i
	}
	return t.row + i, t.head
}

// tile views the task's columns of o [N, H*D] as one operand of D columns.
func (t *attentionTask) tile(o kernel.Operand, d int) kernel.Operand {
	v := headRows(o, t.row, t.rows, t.head*d, d)
	if t.heads > 1 {
		v.Rows, v.Stride = t.heads, d
	}
	return v
}

// attentionTiles are one worker's buffers in the forward pass.
type attentionTiles struct {
	scores []float32      // [64, 64]
	out    []float32      // [64, D]
	p      kernel.Operand // [64, 64] unnormalised weights
	m, l   []float32      // [64] running maximum and sum
	sum, f []float32      // [64] a block's sum, and what it rescales by
}

func planAttention(pl *planner, c weights.Config, n int, train bool, threads int) attentionScratch {
	const use = "attention"
	d := c.HeadDim
	s := attentionScratch{arena: blockArena{mode: pl.mode, d: d}}
	// Segments of 16 tokens and more fit the plan; shorter ones make the arena grow.
	blocks := (n/16 + 1) * c.KVHeads
	for range blocks {
		s.arena.add(pl, use)
	}
	s.workers = make([]attentionTiles, threads)
	for i := range s.workers {
		s.workers[i] = attentionTiles{
			scores: pl.f32(use, chunkRows*BlockLen), out: pl.f32(use, chunkRows*d),
			p: pl.operand(use, chunkRows, BlockLen),
			m: pl.f32(use, chunkRows), l: pl.f32(use, chunkRows), sum: pl.f32(use, chunkRows), f: pl.f32(use, chunkRows),
		}
	}
	if train {
		s.bwd = make([]backwardTiles, threads)
		for i := range s.bwd {
			s.bwd[i] = planBackwardTiles(pl, use, d)
		}
	}
	return s
}

// add plans one more pair of blocks.
func (a *blockArena) add(pl *planner, use string) {
	k, v := kernel.Block{Mode: a.mode, K: a.d, N: BlockLen}, kernel.Block{Mode: a.mode, K: BlockLen, N: a.d}
	if a.mode == kernel.F32 {
		k.F, v.F = pl.f32(use, a.d*BlockLen), pl.f32(use, a.d*BlockLen)
	} else {
		k.B, v.B = pl.operand(use, a.d, BlockLen).B, pl.operand(use, a.d, BlockLen).B
	}
	a.keys, a.values = append(a.keys, k), append(a.values, v)
}

// attend computes causal grouped-query attention for every row and head:
// a.att [N, H*D] = softmax(q kᵀ / sqrt(D)) v over each row's own sequence.
func (p *Pass) attend(ly int, a *activations) {
	p.placeKeys(ly, a)
	p.planTasks()
	p.parallel(len(p.att.tasks), p.tasks.attend, job{a: a})
}

func (p *Pass) attendTask(t, worker int) {
	task, a := &p.att.tasks[t], p.job.a
	if p.placedAlone(task.seg) {
		kv := p.m.cfg.KVHeads
		p.placeRows(task.seg*kv+task.head/task.heads, a, span{row: task.row, pos: task.pos, n: 1})
	}
	p.attendRows(task, a, &p.att.workers[worker])
}

// placedAlone reports whether a segment's only row is written to the cache by the
// task that reads it, the one task of its key-value head.
func (p *Pass) placedAlone(seg int) bool {
	s, c := &p.segs[seg], &p.m.cfg
	return s.Cache != nil && len(s.IDs) == 1 && c.Heads/c.KVHeads <= chunkRows
}

// placeKeys writes the rows' keys and values into their blocks.
func (p *Pass) placeKeys(ly int, a *activations) {
	s, kv := &p.att, p.m.cfg.KVHeads
	s.keys, s.values, s.joined, s.arena.used = s.keys[:0], s.values[:0], s.joined[:0], 0
	for i := range p.segs {
		seg := &p.segs[i]
		for h := range kv {
			var k, v []kernel.Block
			if seg.Cache != nil {
				k, v = seg.Cache.Blocks(ly, h)
			} else {
				k, v = p.segmentBlocks(i, h)
			}
			s.keys, s.values = append(s.keys, k), append(s.values, v)
		}
	}
	for i := range p.segs {
		if !p.placedAlone(i) {
			p.parallel(len(p.segs)*kv, p.tasks.place, job{a: a})
			return
		}
	}
}

// placeTask writes the rows of one segment and key-value head, and before them
// what its sequence has in the block in which the segment begins.
func (p *Pass) placeTask(t, _ int) {
	kv := p.m.cfg.KVHeads
	s := t / kv
	if p.placedAlone(s) {
		return
	}
	seg, from := &p.segs[s], p.segs[s].Start
	if seg.Cache == nil {
		from -= from % BlockLen
	}
	a := p.job.a
	p.eachSpan(s, from, seg.Start+len(seg.IDs), func(r span) { p.placeRows(t, a, r) })
}

// placeRows writes a span's rows into blocks t.
func (p *Pass) placeRows(t int, a *activations, r span) {
	s, d, x, h := &p.att, p.m.cfg.HeadDim, p.m.x, t%p.m.cfg.KVHeads
	for r.n > 0 {
		b, slot := r.pos/BlockLen, r.pos%BlockLen
		take := min(BlockLen-slot, r.n)
		x.PutColumns(s.keys[t][b], slot, headRows(a.k, r.row, take, h*d, d))
		x.PutRows(s.values[t][b], slot, headRows(a.v, r.row, take, h*d, d))
		r = span{row: r.row + take, pos: r.pos + take, n: r.n - take}
	}
}

// planTasks cuts every segment into chunks that end at multiples of chunkRows.
func (p *Pass) planTasks() {
	p.att.tasks = p.att.tasks[:0]
	row := 0
	for s := range p.segs {
		seg := &p.segs[s]
		for done := 0; done < len(seg.IDs); {
			pos := seg.Start + done
			rows := min(chunkRows-pos%chunkRows, len(seg.IDs)-done)
			heads, each := p.m.cfg.Heads, 1
			if g := heads / p.m.cfg.KVHeads; rows == 1 && g <= chunkRows {
				each = g
			}
			for h := 0; h < heads; h += each {
				p.att.tasks = append(p.att.tasks, attentionTask{s, h, each, row + done, rows, pos})
			}
			done += rows
		}
		row += len(seg.IDs)
	}
}

// attendRows walks the key blocks in order, keeping a running maximum m and sum
// l of each row (Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022,
// arXiv 2205.14135, algorithm 1):
//
//	m' = max(m, max s);  w = exp(s - m');  f = exp(m - m')
//	l' = l f + Σ w;      o' = o f + bf16(w) v
func (p *Pass) attendRows(t *attentionTask, a *activations, w *attentionTiles) {
	cfg, x := &p.m.cfg, p.m.x
	d, heads, n := cfg.HeadDim, cfg.Heads, t.queries()
	kvIndex := t.seg*cfg.KVHeads + t.head/(heads/cfg.KVHeads)
	q := t.tile(a.q, d)
	scale := attentionScale(d)
	out := w.out[:n*d]
	clear(out)
	for i := range n {
		w.m[i], w.l[i] = float32(math.Inf(-1)), 0
	}
	for b := 0; b*BlockLen < t.pos+t.rows; b++ {
		x.MulBlock(w.scores, BlockLen, q, p.att.keys[kvIndex][b], false)
		p.softmaxBlock(t, b, scale, out, w)
		weights, values := w.p.Slice(0, n), p.att.values[kvIndex][b]
		weights.Cols, values = t.seenValues(b, values)
		x.MulBlock(out, d, weights, values, true)
	}
	for i := range n {
		row, head := t.at(i)
		w.f[i] = 1 / w.l[i]
		a.smax[row*heads+head], a.ssum[row*heads+head] = w.m[i], w.l[i]
	}
	x.ScaleRows(out, d, w.f[:n])
	x.RoundRows(t.tile(a.att, d), out, d)
}

// seenValues cuts block b of the values to the positions that some row sees, in
// pairs: the weights of the others are zero.
func (t *attentionTask) seenValues(b int, v kernel.Block) (int, kernel.Block) {
	v.K = min(v.K, (t.pos+t.rows-b*BlockLen+1)&^1)
	return v.K, v
}

// softmaxBlock turns one block of scores into weights and rescales what the
// rows hold so far. Positions after a row's own get weight 0.
func (p *Pass) softmaxBlock(t *attentionTask, b int, scale float32, out []float32, w *attentionTiles) {
	x, d, n := p.m.x, p.m.cfg.HeadDim, t.queries()
	seen := t.pos + 1 - b*BlockLen // of the first row; each further row sees one key more
	before := w.f[:n]
	copy(before, w.m[:n])
	if t.heads == 1 || seen >= BlockLen {
		x.SoftmaxBlock(w.p.Slice(0, n), w.scores, n, seen, scale, w.m[:n], w.sum[:n])
	} else { // heads of one row see the same keys
		for i := range n {
			x.SoftmaxBlock(w.p.Slice(i, i+1), w.scores[i*BlockLen:], 1, seen, scale, w.m[i:i+1], w.sum[i:i+1])
		}
	}
	for i := range n {
		before[i] -= w.m[i]
	}
	x.Exp(before, before) // of 0 it is exactly 1
	for i, f := range before {
		w.l[i] = float32(w.l[i]*f) + w.sum[i]
	}
	x.ScaleRows(out, d, before)
}

// headRows views columns col..col+d of some rows as an operand of their own.
func headRows(o kernel.Operand, row, rows, col, d int) kernel.Operand {
	v := o.Slice(row, row+rows)
	v.Cols = d
	if o.Mode == kernel.F32 {
		v.F = v.F[col:]
	} else {
		v.B = v.B[col:]
	}
	return v
}
