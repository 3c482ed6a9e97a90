package kernel

import "fmt"

// Projection is one right side of Project: Dst [M, N] = a Wᵀ + Bias, or += with
// Accumulate, and then the low-rank shares of some rows.
type Projection struct {
	Dst        []float32 // [M, N]
	Ldd        int       // Dst's row stride
	W          *Panels   // [N, K]
	Bias       []float32 // [N]; nil: none
	Accumulate bool
	Low        []LowRank
}

// LowRank is what an adapter adds to rows Lo..Hi of a projection (Hu et al. 2021,
// arXiv 2106.09685): H = Scale * (a Aᵀ), rounded to operand precision, is kept
// for the backward pass, and B's chain continues in Dst: Dst += H Bᵀ.
type LowRank struct {
	Lo, Hi int
	A      *Panels // [R, K]; nil: H is there already
	B      *Panels // [N, R]
	Scale  float32
	H      Operand // [Hi-Lo, R]

	fits *Panels // the W that A and B were checked against: once, for they may be far from the cache
}

// shareUpTo is the number of rows up to which a call for each panel costs more
// than the multiply with a low-rank share.
const shareUpTo = 12

// lowRows is the number of rows of a low-rank share that one task takes.
const lowRows = 64

// Project multiplies a [M, K] by several right sides at once, rows of different
// adapters among them: one fork for all, and each weight is read once. Chains
// are MatMul's. next are the shares of the call that follows, whose A are fetched
// meanwhile; it changes no result.
func (x *Exec) Project(a Operand, ps []Projection, next ...[]LowRank) {
	x.pool.mu.Lock()
	defer x.pool.mu.Unlock()
	x.job.next = next
	x.project(a, ps)
	x.job.next = nil
}

// ProjectGated is Project of a gate and an up projection, and then SwiGLU of both into
// act. For a few rows each worker takes the same columns of the two and does SwiGLU
// of what it has just computed: no other core has to be asked for it.
func (x *Exec) ProjectGated(act, a Operand, ps []Projection, next ...[]LowRank) {
	if len(ps) != 2 || ps[0].W.N != ps[1].W.N || ps[0].W.N != act.Cols || act.Rows < a.Rows {
		panic("kernel: ProjectGated: a gate and an up projection as wide as their result are expected")
	}
	act.check("ProjectGated")
	x.pool.mu.Lock()
	defer x.pool.mu.Unlock()
	j := &x.job
	j.next, j.act, j.gated = next, act, true
	x.project(a, ps)
	j.next, j.act, j.gated = nil, Operand{}, false
}

// project is Project for a caller that holds the pool.
func (x *Exec) project(a Operand, ps []Projection) {
	j := &x.job
	j.panels, j.low = 0, 0
	minima, widest, bytes := false, 0, 0
	for i := range ps {
		p := &ps[i]
		p.check(a)
		j.panels += p.W.count()
		minima = minima || p.W.Format.minima()
		widest = max(widest, p.W.panel)
		bytes += len(p.W.data)
		for l := range p.Low {
			if p.Low[l].A != nil {
				j.low += p.Low[l].pieces()
			}
		}
	}
	if a.Rows == 0 || j.panels == 0 {
		return
	}
	j.a, j.proj = a, ps
	x.split(j.panels, widest)
	j.few = j.chunks == 1 && a.Rows < fewRows
	if j.minima = minima && a.Cols > 0; j.minima && !j.few {
		x.blockSums(a)
	}
	gated := j.gated
	j.gated = gated && j.few
	if j.gated {
		j.panels /= 2 // of both at once
	}
	if j.few {
		j.group = x.fewRowsGroup(j.panels, bytes)
	}
	j.unit = 1
	if j.few && x.halves(a, ps) {
		j.unit = 2
		j.group = x.fewRowsGroup(2*j.panels, bytes)
	}
	j.bases = j.chunks * ((j.unit*j.panels + j.group - 1) / j.group)
	j.planShares(a.Rows, x.pool.workers)
	if j.few {
		j.dealt.deal(j.bases)
		j.dealtH.deal(j.shares)
	}
	j.done.Store(0)
	x.pool.watch.multiplying(a, ps)
	tasks := j.shares + j.bases
	if j.few {
		tasks = min(tasks, x.pool.workers)
	}
	x.pool.run(tasks, x.runMatMul)
	if gated && !j.gated {
		x.rowsRun(rowsJob{kind: kindSwiGLU, rows: a.Rows, c: j.act.Cols, dst: j.act, p0: ps[0].Dst, p1: ps[1].Dst})
	}
	j.a, j.proj, j.coming, j.others = Operand{}, nil, nil, nil
}

// halves reports whether tasks may end within a panel, so that workers get equal
// parts of few panels. Where shares are added, a task's panels are its own.
func (x *Exec) halves(a Operand, ps []Projection) bool {
	if x.set.halves == nil {
		return false
	}
	for i := range ps {
		if len(ps[i].Low) > 0 || !x.set.halves(ps[i].W.Format, a.Rows) {
			return false
		}
	}
	return true
}

// Coming names the weights of the multiply that follows the next one: few rows
// are multiplied faster than memory answers, so the end of a multiply fetches where
// each worker will begin then. between is other memory that each worker reads in the
// meantime. Both change no result.
func (x *Exec) Coming(ws []*Panels, between [][]Span) {
	x.pool.mu.Lock()
	defer x.pool.mu.Unlock()
	x.job.coming, x.job.others = ws, between
}

// comingTo is the panel that the worker will begin with.
func (j *job) comingTo(worker, workers int) Span {
	n := 0
	for _, w := range j.coming {
		n += w.count()
	}
	at, _ := stretch(n, worker, workers)
	for _, w := range j.coming {
		if at < w.count() {
			return spanOf(w.bytes(at))
		}
		at -= w.count()
	}
	return Span{}
}

// planShares cuts the pieces of H into tasks: for few rows a multiple of the
// workers', which have their stretches of memory.
func (j *job) planShares(rows, workers int) {
	const fewPieces = 16
	j.shares = min(j.low, 4*workers)
	if j.few && j.low > 0 {
		j.shares = workers * max(1, j.low/(workers*fewPieces))
	}
}

// fewRowsGroup is the number of panels of a task when weights are what takes the
// time: each worker gets one stretch of memory to read, or some when it is long
// enough for the others to fall behind.
func (x *Exec) fewRowsGroup(panels, bytes int) int {
	const stretch = 1 << 20
	tasks := x.pool.workers * max(1, min(6, bytes/(stretch*x.pool.workers)))
	return max((panels+tasks-1)/tasks, 1)
}

// check panics unless the projection fits a.
func (p *Projection) check(a Operand) {
	checkMul("Project", a, p.W)
	if a.Cols != p.W.K {
		panic(fmt.Sprintf("kernel: Project: rows of %d values times panels of %d x %d", a.Cols, p.W.N, p.W.K))
	}
	checkDst("Project", p.Dst, p.Ldd, a.Rows, p.W.N)
	if p.Bias != nil {
		checkLen("Project: bias", len(p.Bias), p.W.N)
	}
	for i := range p.Low {
		if l := &p.Low[i]; l.fits != p.W || l.Hi > a.Rows {
			l.check(a, p.W)
			l.fits = p.W
		}
	}
}

// check panics unless the share fits a projection of a by w.
func (l *LowRank) check(a Operand, w *Panels) {
	checkMul("Project: low rank", l.H, l.B)
	if l.Lo < 0 || l.Hi < l.Lo || l.Hi > a.Rows || l.H.Rows != l.Hi-l.Lo || l.H.Cols != l.B.K || l.B.N != w.N {
		panic(fmt.Sprintf("kernel: Project: rows %d..%d of %d take H %d x %d and B %d x %d (%d rows of B expected)",
			l.Lo, l.Hi, a.Rows, l.H.Rows, l.H.Cols, l.B.N, l.B.K, w.N))
	}
	if l.A == nil {
		return
	}
	checkMul("Project: low rank", a, l.A)
	if l.A.K != a.Cols || l.A.N != l.B.K {
		panic(fmt.Sprintf("kernel: Project: A %d x %d for rows of %d values and rank %d", l.A.N, l.A.K, a.Cols, l.B.K))
	}
}

// pieces is the number of tasks' shares that l is computed in.
func (l *LowRank) pieces() int { return (l.Hi - l.Lo + lowRows - 1) / lowRows }

// matMulTask is the pool's task function: first the H, then groups of panels, each
// with its shares while its results are in the cache.
func (x *Exec) matMulTask(task, worker int) {
	j, s := &x.job, &x.work[worker]
	switch {
	case j.few:
		x.fewRowsTask(s, worker)
	case task < j.shares:
		x.sharesTask(s, task)
		j.done.Add(1)
	default:
		x.baseTask(s, task-j.shares, worker)
		x.addTask(s, task-j.shares)
	}
}

// fewRowsTask is all that one worker does where rows are few. Reading takes the
// time, so it takes the parts whose memory it has fetched during the multiply
// before, and others' only when it has none left: one that comes late does not find
// its own memory in another's cache.
func (x *Exec) fewRowsTask(s *scratch, worker int) {
	j := &x.job
	for part, ok := j.dealtH.own(worker); ok; part, ok = j.dealtH.own(worker) {
		x.sharesTask(s, part)
		j.done.Add(1)
	}
	s.ahead.begin(j, worker)
	if j.minima { // a region of its own would take longer than doing it twice
		s.sums = x.sumRows(s.sums, j.a)
	}
	for part, ok := j.dealt.own(worker); ok; part, ok = j.dealt.own(worker) {
		x.fewRowsPart(s, part, worker)
	}
	for part, ok := j.dealt.others(worker); ok; part, ok = j.dealt.others(worker) {
		x.fewRowsPart(s, part, worker)
	}
}

// fewRowsPart multiplies one part, adds its shares and gates it.
func (x *Exec) fewRowsPart(s *scratch, part, worker int) {
	x.baseTask(s, part, worker)
	x.othersH(s, worker)
	x.addTask(s, part)
	if x.job.gated {
		x.gateTask(part)
	}
}

// othersH computes the H of workers that have not come yet.
func (x *Exec) othersH(s *scratch, worker int) {
	j := &x.job
	for part, ok := j.dealtH.others(worker); ok; part, ok = j.dealtH.others(worker) {
		x.sharesTask(s, part)
		j.done.Add(1)
	}
}

// gateTask does SwiGLU of a task's columns.
func (x *Exec) gateTask(task int) {
	j := &x.job
	gate, up := &j.proj[0], &j.proj[1]
	first, last := j.baseUnits(task)
	lo, hi := first*panelCols/j.unit, min(last*panelCols/j.unit, gate.W.N)
	for r := range j.a.Rows {
		x.swiGLU(&j.act, r, lo, gate.Dst[r*gate.Ldd+lo:r*gate.Ldd+hi], up.Dst[r*up.Ldd+lo:])
	}
}

// baseRows and basePanels are the rows and panels of a task.
func (j *job) baseRows(task int) (r0, r1 int) {
	r0 = task % j.chunks * j.chunk
	return r0, min(r0+j.chunk, j.a.Rows)
}

// baseUnits are the same in units: panels, or halves of them.
func (j *job) baseUnits(task int) (first, last int) {
	first = task / j.chunks * j.group
	return first, min(first+j.group, j.unit*j.panels)
}

func (j *job) basePanels(task int) (first, last int) {
	first, last = j.baseUnits(task)
	return first / j.unit, (last + j.unit - 1) / j.unit
}

// baseTask multiplies with some panels of W.
func (x *Exec) baseTask(s *scratch, task, worker int) {
	j := &x.job
	r0, r1 := j.baseRows(task)
	first, last := j.baseUnits(task)
	var next *ahead
	if j.few {
		next = &s.ahead
	}
	at := first
	x.eachProjection(first, last, j.unit, func(p *Projection, lo, hi int) {
		at += hi - lo
		var coming Span
		switch {
		case j.gated && p == &j.proj[0]:
			coming = spanOf(j.proj[1].W.bytes(first / j.unit))
		case j.gated || at == last:
			coming = j.comingTo(worker, x.pool.workers)
		default:
			coming = j.panelAt(at)
		}
		x.projectRows(s, p, next, coming, r0, r1, lo, hi)
	})
}

// panelAt is the panel of a unit.
func (j *job) panelAt(unit int) Span {
	for i := range j.proj {
		w := j.proj[i].W
		if unit < w.count()*j.unit {
			return spanOf(w.bytes(unit / j.unit))
		}
		unit -= w.count() * j.unit
	}
	return Span{}
}

// addTask adds the shares to some panels.
func (x *Exec) addTask(s *scratch, task int) {
	j := &x.job
	r0, r1 := j.baseRows(task)
	first, last := j.basePanels(task)
	waited := false
	x.eachProjection(first, last, 1, func(p *Projection, lo, hi int) {
		for i := range p.Low {
			if !waited {
				x.waitForShares()
				waited = true
			}
			x.addShare(s, p, &p.Low[i], r0, r1, lo, hi)
		}
	})
}

// eachProjection calls f for the panels lo..hi of each projection that are among
// first..last of all, all counted in units of a panel.
func (x *Exec) eachProjection(first, last, unit int, f func(p *Projection, lo, hi int)) {
	for i := range x.job.proj {
		p := &x.job.proj[i]
		n := p.W.count() * unit
		if lo, hi := max(first, 0), min(last, n); lo < hi {
			f(p, lo, hi)
		}
		if !x.job.gated {
			first, last = first-n, last-n
		}
	}
}

// projectRows multiplies rows r0..r1 with panels lo..hi, in units.
func (x *Exec) projectRows(s *scratch, p *Projection, next *ahead, coming Span, r0, r1, lo, hi int) {
	j, t := &x.job, &s.mul
	*t = panelTask{ldd: p.Ldd, a: j.a.Slice(r0, r1), w: p.W, accumulate: p.Accumulate, shared: x.pool.workers > 1, ahead: next}
	if p.W.Format.minima() {
		if t.sums = j.sums; j.few {
			t.sums = s.sums
		}
		t.sums = t.sums[r0*(p.W.K/blockK):]
	}
	for i := lo / j.unit; i*j.unit < hi; i++ {
		t.at(p, r0, r1, i)
		if j.unit == 2 {
			t.half = halfOf(lo-2*i, hi-2*i)
		}
		t.next = coming
		if (i+1)*j.unit < hi {
			t.next = spanOf(p.W.bytes(i + 1))
		}
		x.set.panel(s, t)
		if p.Bias != nil {
			t.addBias(p.Bias[i*panelCols:])
		}
	}
	*t = panelTask{}
}

// at points the task at rows r0..r1 of a projection's panel.
func (t *panelTask) at(p *Projection, r0, r1, panel int) {
	t.panel, t.cols = panel, p.W.cols(panel)
	c0 := panel * panelCols
	t.dst = p.Dst[r0*p.Ldd+c0 : (r1-1)*p.Ldd+c0+t.cols]
}

// addBias adds the same values to every row.
func (t *panelTask) addBias(bias []float32) {
	first, last := t.half.columns(t.cols)
	bias = bias[first:]
	for r := range t.a.Rows {
		row := t.dst[r*t.ldd+first : r*t.ldd+last]
		for c := range row {
			row[c] += bias[c]
		}
	}
}

// sharesTask computes some of the H.
func (x *Exec) sharesTask(s *scratch, task int) {
	j := &x.job
	from, to := stretch(j.low, task, j.shares)
	for i := range j.proj {
		for l := range j.proj[i].Low {
			low := &j.proj[i].Low[l]
			if low.A == nil {
				continue
			}
			n := low.pieces()
			for k := max(from, 0); k < min(to, n); k++ {
				r0, r1 := k*lowRows, min((k+1)*lowRows, low.Hi-low.Lo)
				if x.streamed(low, r1-r0) {
					x.stream(s, low, r0, r1)
					continue
				}
				x.hidden(s, low, r0, r1)
			}
			if from, to = from-n, to-n; to <= 0 {
				x.flushStreams(s)
				return
			}
		}
	}
}

// hidden computes rows r0..r1 of one H as tiles.
func (x *Exec) hidden(s *scratch, l *LowRank, r0, r1 int) {
	rank, t := l.A.N, &s.mul
	if need := (r1 - r0) * rank; len(s.low) < need {
		s.low = alignedF32(max(need, lowRows*panelCols))
	}
	h32 := s.low[:(r1-r0)*rank]
	*t = panelTask{ldd: rank, a: x.job.a.Slice(l.Lo+r0, l.Lo+r1), w: l.A}
	for i := range l.A.count() {
		t.panel, t.cols = i, l.A.cols(i)
		t.dst = h32[i*panelCols : (r1-r0-1)*rank+i*panelCols+t.cols]
		x.set.panel(s, t)
	}
	*t = panelTask{}
	x.roundHidden(l, r0, r1, h32)
}

// waitForShares returns when all H are there. They were handed out before the
// caller's task, so each is done or under way.
func (x *Exec) waitForShares() {
	for spins := 0; x.job.done.Load() != int64(x.job.shares); spins++ {
		if relax(); spins > 1<<12 {
			yield()
		}
	}
}

// addShare adds l's part of rows r0..r1 to the panels lo..hi of p.
func (x *Exec) addShare(s *scratch, p *Projection, l *LowRank, r0, r1, lo, hi int) {
	r0, r1 = max(r0, l.Lo), min(r1, l.Hi)
	if r0 >= r1 {
		return
	}
	whole := min(hi, p.W.N/panelCols) - lo
	if whole > 0 && x.set.share != nil && r1-r0 <= shareUpTo && l.B.Format == FormatBF16 && l.B.K > 0 {
		x.set.share(s, p, l, r0, r1, lo, whole)
		if lo += whole; lo == hi {
			return
		}
	}
	t := &s.mul
	*t = panelTask{ldd: p.Ldd, a: l.H.Slice(r0-l.Lo, r1-l.Lo), w: l.B, accumulate: true}
	for i := lo; i < hi; i++ {
		t.at(p, r0, r1, i)
		x.set.panel(s, t)
	}
	*t = panelTask{}
}
