package kernel

// Forget drops the arguments of the last calls, which keep their callers' memory
// from the garbage collector until other calls take their place: a pass is one
// piece of memory, and one stale argument kept all of it. Callers that let go of
// a pass and are about to allocate another call it first.
func (x *Exec) Forget() {
	x.pool.mu.Lock()
	defer x.pool.mu.Unlock()
	j := &x.job
	j.dst, j.a, j.w, j.lowT = nil, Operand{}, nil, nil
	j.proj, j.next, j.one = nil, nil, [1]Projection{}
	j.outer, j.rows = outerArgs{}, rowsJob{}
	for i := range x.work {
		x.work[i].forget()
	}
	for i := range spareScratch {
		if s := spareScratch[i].s.Swap(nil); s != nil {
			s.forget()
			returnScratch(s, i)
		}
	}
}

// forget drops the tasks at hand, not the memory.
func (s *scratch) forget() {
	s.mul, s.mulT, s.outer = panelTask{}, panelTTask{}, outerArgs{}
	s.ahead, s.streams = ahead{}, streams{}
	s.archScratch = archScratch{}
}
