package model

import (
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
	shares       []int           // where each task of the pool begins among tasks, and their end
	reads        [][]kernel.Span // what each worker reads, where each has one share
	workers      []kernel.Attention
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

func planAttention(pl *planner, c weights.Config, n int, train bool, threads int) attentionScratch {
	const use = "attention"
	d := c.HeadDim
	s := attentionScratch{arena: blockArena{mode: pl.mode, d: d}}
	// Segments of 16 tokens and more fit the plan; shorter ones make the arena grow.
	blocks := (n/16 + 1) * c.KVHeads
	for range blocks {
		s.arena.add(pl, use)
	}
	s.workers = make([]kernel.Attention, threads)
	for i := range s.workers {
		s.workers[i] = kernel.Attention{
			Scores: pl.f32(use, chunkRows*BlockLen), Acc: pl.f32(use, chunkRows*d),
			Weights: pl.operand(use, chunkRows, BlockLen),
			M:       pl.f32(use, chunkRows), L: pl.f32(use, chunkRows), Sum: pl.f32(use, chunkRows), F: pl.f32(use, chunkRows),
		}
	}
	s.reads = make([][]kernel.Span, threads)
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

// planAttend lists the blocks of a layer, and who computes what.
func (p *Pass) planAttend(ly int) {
	p.listBlocks(ly)
	p.planTasks()
	p.share()
}

// attend computes causal grouped-query attention for every row and head:
// a.att [N, H*D] = softmax(q kᵀ / sqrt(D)) v over each row's own sequence.
func (p *Pass) attend(a *activations) {
	for i := range p.segs {
		if !p.placedAlone(i) {
			p.parallel(len(p.segs)*p.m.cfg.KVHeads, p.tasks.place, job{a: a})
			break
		}
	}
	p.parallel(len(p.att.shares)-1, p.tasks.attend, job{a: a})
}

func (p *Pass) attendTask(t, worker int) {
	for i := p.att.shares[t]; i < p.att.shares[t+1]; i++ {
		task, a := &p.att.tasks[i], p.job.a
		if p.placedAlone(task.seg) {
			p.placeRows(p.keyValueHead(task), a, span{row: task.row, pos: task.pos, n: 1})
		}
		p.attendRows(task, a, &p.att.workers[worker])
	}
}

// share cuts the tasks into shares for the pool. Where all are single rows, reading
// keys and values is what takes the time: each worker gets one share, about as many
// keys as another, and the multiply before fetches them into its cache.
func (p *Pass) share() {
	s := &p.att
	s.shares = append(s.shares[:0], 0)
	for w := range s.reads {
		s.reads[w] = s.reads[w][:0]
	}
	all, workers := 0, p.m.x.Threads()
	for i := range s.tasks {
		t := &s.tasks[i]
		if t.rows > 1 || !p.placedAlone(t.seg) {
			all = -1
			break
		}
		all += t.cost()
	}
	if all < 0 {
		for i := range s.tasks {
			s.shares = append(s.shares, i+1)
		}
		return
	}
	done := 0
	for i := range s.tasks {
		t := &s.tasks[i]
		w := len(s.shares) - 1
		k := p.keyValueHead(t)
		for b := 0; b*BlockLen <= t.pos; b++ {
			v := s.values[k][b]
			v.K = min(v.K, (t.pos-b*BlockLen+2)&^1)
			s.reads[w] = append(s.reads[w], s.keys[k][b].Span(), v.Span())
		}
		if done += t.cost(); done*workers >= all*(w+1) && w < workers-1 {
			s.shares = append(s.shares, i+1)
		}
	}
	s.shares = append(s.shares, len(s.tasks))
}

// cost is what a task of one row takes, about, in keys.
func (t *attentionTask) cost() int {
	const fixed = 32 // calls, and writing the row's key and value
	return t.pos + fixed
}

// placedAlone reports whether a segment's only row is written to the cache by the
// task that reads it, the one task of its key-value head.
func (p *Pass) placedAlone(seg int) bool {
	s, c := &p.segs[seg], &p.m.cfg
	return s.Cache != nil && len(s.IDs) == 1 && c.Heads/c.KVHeads <= chunkRows
}

// listBlocks lists every segment's blocks.
func (p *Pass) listBlocks(ly int) {
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

// attendRows computes a task.
func (p *Pass) attendRows(t *attentionTask, a *activations, w *kernel.Attention) {
	cfg := &p.m.cfg
	d, heads := cfg.HeadDim, cfg.Heads
	i := p.keyValueHead(t)
	w.Q, w.Out = t.tile(a.q, d), t.tile(a.att, d)
	w.Keys, w.Values = p.att.keys[i], p.att.values[i]
	w.Seen, w.More, w.Scale = t.pos+1, 1, attentionScale(d)
	if t.heads > 1 { // heads of one row see the same keys
		w.More = 0
	}
	p.m.x.Attend(w)
	for i := range t.queries() {
		row, head := t.at(i)
		a.smax[row*heads+head], a.ssum[row*heads+head] = w.M[i], w.L[i]
	}
}

// keyValueHead is the index of the task's keys and values.
func (p *Pass) keyValueHead(t *attentionTask) int {
	c := &p.m.cfg
	return t.seg*c.KVHeads + t.head/(c.Heads/c.KVHeads)
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
