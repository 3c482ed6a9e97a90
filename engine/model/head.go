package model

import (
	"math"

	"dlm/engine/kernel"
	"dlm/engine/weights"
)

// vocabChunk is the constant number of logits whose exponentials are summed
// together; partial sums are merged in order, so a log-probability has the same
// bits wherever it is computed.
const vocabChunk = 4096

// headBytes and headMost bound the logits that exist at one time: the weights are
// decoded once for all of their rows.
const headBytes, headMost = 96 << 20, 512

// headScratch is the memory of the last norm and the vocabulary projection, for
// a chunk of rows at a time: the logits of a batch never exist whole.
type headScratch struct {
	rows   int            // rows of a chunk
	x      []float32      // [rows, C] residual of the chunk's rows
	rstd   []float32      // [rows]
	n      kernel.Operand // [rows, C]
	logits []float32      // [rows, V]
	lse    []float32      // [rows]
	logp   []float32      // [rows], where nobody wants them
	dlog   kernel.Operand // [rows, V], over logits where their rows are of even length
	dn, dx []float32      // [rows, C]
	pick   []int
}

func planHead(pl *planner, c weights.Config, n int, train bool) headScratch {
	const use = "logits"
	rows := min(n, max(8, min(headMost, headBytes/(4*c.Vocab))))
	h := headScratch{
		rows: rows, x: pl.f32(use, rows*c.Hidden), rstd: pl.f32(use, rows), n: pl.operand(use, rows, c.Hidden),
		logits: pl.f32(use, rows*c.Vocab), lse: pl.f32(use, rows), logp: pl.f32(use, rows), pick: make([]int, 0, rows),
	}
	if train {
		if c.Vocab&1 != 0 {
			h.dlog = pl.operand(use, rows, c.Vocab)
		} else if !pl.dry {
			h.dlog = kernel.Overlay(pl.mode, h.logits, rows, c.Vocab)
		}
		h.dn, h.dx = pl.f32(use, rows*c.Hidden), pl.f32(use, rows*c.Hidden)
	}
	return h
}

// project computes the logits of the given rows into dst [len(rows), V].
func (p *Pass) project(dst []float32, rows []int) {
	h, c, x := &p.head, p.m.cfg.Hidden, p.m.x
	for i, r := range rows {
		copy(h.x[i*c:(i+1)*c], p.hid[r*c:(r+1)*c])
	}
	n := h.n.Slice(0, len(rows))
	x.RMSNorm(n, h.rstd, h.x, p.m.norm, p.m.cfg.NormEps, len(rows), c)
	x.MatMul(dst, p.m.cfg.Vocab, n, p.m.head, false)
}

// LogitsRows writes the logits of the given rows, dst [len(rows), V].
func (p *Pass) LogitsRows(dst []float32, rows []int) {
	v := p.m.cfg.Vocab
	for lo := 0; lo < len(rows); lo += p.head.rows {
		hi := min(len(rows), lo+p.head.rows)
		p.project(dst[lo*v:hi*v], rows[lo:hi])
	}
}

// Logits writes the logits of one row, dst [V].
func (p *Pass) Logits(dst []float32, row int) { p.LogitsRows(dst, []int{row}) }

// LogProbs writes the natural log-probability of each target, dst [len(targets)].
func (p *Pass) LogProbs(dst []float32, targets []Target) {
	p.eachChunk(targets, func(chunk []Target, at int) {
		p.chunkLogProbs(dst[at:], chunk, nil)
	})
}

// LogProbsGrad is LogProbs for a loss whose gradient dlogp with respect to each
// target's log-probability is known beforehand (as in SFT). The gradient of the
// residual is kept, so that the next Backward needs no targets and the logits
// are computed once instead of twice.
func (p *Pass) LogProbsGrad(dst []float32, targets []Target, dlogp []float32) {
	clear(p.bwd.dx[:p.n*p.m.cfg.Hidden])
	p.eachChunk(targets, func(chunk []Target, at int) {
		p.chunkLogProbs(dst[at:], chunk, nil)
		p.chunkBackward(chunk, dlogp[at:])
	})
}

// headBackward sets p.bwd.dx from the gradients of the targets' log-probabilities,
// unless LogProbsGrad has.
func (p *Pass) headBackward(targets []Target, dlogp []float32) {
	if targets == nil {
		return
	}
	clear(p.bwd.dx[:p.n*p.m.cfg.Hidden])
	p.eachChunk(targets, func(chunk []Target, at int) {
		p.chunkLogProbs(p.head.logp, chunk, nil)
		p.chunkBackward(chunk, dlogp[at:])
	})
}

func (p *Pass) eachChunk(targets []Target, f func(chunk []Target, at int)) {
	for lo := 0; lo < len(targets); lo += p.head.rows {
		hi := min(len(targets), lo+p.head.rows)
		f(targets[lo:hi], lo)
	}
}

// chunkLogProbs leaves the chunk's logits in p.head.logits and the log of their
// summed exponentials in p.head.lse. tops is nil or one for each target.
func (p *Pass) chunkLogProbs(dst []float32, chunk []Target, tops [][]Alternative) {
	h := &p.head
	h.pick = h.pick[:0]
	for _, t := range chunk {
		h.pick = append(h.pick, t.Row)
	}
	p.project(h.logits, h.pick)
	p.parallel(len(chunk), p.tasks.logp, job{v: dst, chunk: chunk, tops: tops})
}

func (p *Pass) logpTask(i, _ int) {
	h, v := &p.head, p.m.cfg.Vocab
	row := h.logits[i*v : (i+1)*v]
	lse := p.m.logSumExp(row)
	h.lse[i] = float32(lse)
	p.job.v[i] = float32(float64(row[p.job.chunk[i].ID]) - lse)
	if p.job.tops != nil {
		p.m.fillTop(p.job.tops[i], row, lse)
	}
}

// dlogitTask turns one row of logits into their gradient.
func (p *Pass) dlogitTask(i, _ int) {
	h, x, v := &p.head, p.m.x, p.m.cfg.Vocab
	row, dlogp, id := h.logits[i*v:(i+1)*v], p.job.w[i], int(p.job.chunk[i].ID)
	var own [1]float32 // the target's own, with [v = id]
	one := own[:]
	x.ExpSub(one, row[id:id+1], h.lse[i])
	x.Scale(one, -dlogp)
	one[0] += dlogp
	x.ExpScale(h.dlog, i, row, h.lse[i], -dlogp)
	at := h.dlog.Slice(i, i+1)
	if at.Mode == kernel.F32 {
		at.F[id] = one[0]
	} else {
		at.B[id] = kernel.BF16FromF32(one[0])
	}
}

// chunkBackward adds to p.bwd.dx. With logp = logit[id] - log Σ exp(logit):
//
//	dlogit[v] = dlogp ([v = id] - exp(logit[v] - lse))
func (p *Pass) chunkBackward(chunk []Target, dlogp []float32) {
	h, x, v, c := &p.head, p.m.x, p.m.cfg.Vocab, p.m.cfg.Hidden
	n := len(chunk)
	p.parallel(n, p.tasks.dlogit, job{w: dlogp, chunk: chunk})
	dn, part := h.dn[:n*c], h.dx[:n*c]
	clear(dn)
	// MatMul(logits, n, head). One chain over the whole vocabulary would lose the
	// terms below half a unit in the last place of the sum, most of the softmax's
	// tail: gradients would be 1e-4 too large. So chunks are summed, in order.
	for lo := 0; lo < v; lo += vocabChunk {
		hi := min(v, lo+vocabChunk)
		x.MatMulT(part, c, columns(h.dlog.Slice(0, n), lo, hi), p.m.head, lo, hi, false)
		x.Add(dn, part)
	}
	clear(h.dx[:n*c])
	x.RMSNormBackward(h.dx, dn, h.x, p.m.norm, h.rstd, n, c) // RMSNorm(n, hid)
	for i, t := range chunk {                                // copy(h.x, hid)
		x.Axpy(p.bwd.dx[t.Row*c:(t.Row+1)*c], 1, h.dx[i*c:(i+1)*c])
	}
}

// columns views the columns lo..hi of an operand; lo is even.
func columns(o kernel.Operand, lo, hi int) kernel.Operand {
	o.Cols = hi - lo
	if o.Mode == kernel.F32 {
		o.F = o.F[lo:]
	} else {
		o.B = o.B[lo:]
	}
	return o
}

// chunkPool lends logSumExp its memory. Unlike a sync.Pool the garbage collector
// does not empty it, so that a step does not allocate.
var chunkPool = make(chan []float32, 64)

func borrowChunk() []float32 {
	select {
	case s := <-chunkPool:
		return s
	default:
		return make([]float32, vocabChunk)
	}
}

func returnChunk(s []float32) {
	select {
	case chunkPool <- s:
	default:
	}
}

// logSumExp returns log Σ exp(logits), chunk by chunk.
func (m *Model) logSumExp(logits []float32) float64 {
	buf := borrowChunk()
	defer returnChunk(buf)
	top, sum := float32(math.Inf(-1)), 0.0
	for lo := 0; lo < len(logits); lo += vocabChunk {
		chunk := logits[lo:min(len(logits), lo+vocabChunk)]
		t := m.x.MaxRow(chunk)
		if t > top {
			sum = float64(sum * kernel.Exp64(float64(top)-float64(t)))
			top = t
		}
		sum += float64(m.x.ExpSub(buf[:len(chunk)], chunk, top))
	}
	return float64(top) + kernel.Log64(sum)
}

// LogSoftmaxAt returns the log-probability of one id given a row's logits [V],
// with the bits of LogProbs.
func (m *Model) LogSoftmaxAt(logits []float32, id int32) float32 {
	return float32(float64(logits[id]) - m.logSumExp(logits))
}
