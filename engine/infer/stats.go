package infer

// Stats is what the engine is doing. Counters only grow.
type Stats struct {
	Running     int // sequences in the batch
	Waiting     int // for a place in it
	CacheBlocks int // that the cache may have
	CacheUsed   int // of which sequences hold
	CacheKept   int // of which hold prefixes that nobody uses at the moment

	Steps     uint64
	Prompt    uint64 // tokens of prompts asked for
	Cached    uint64 // of which were in the cache
	Computed  uint64 // positions, those computed again too
	Generated uint64 // tokens
	Drafted   uint64 // tokens guessed ahead
	Accepted  uint64 // of which were right
	Preempted uint64 // sequences that had to start over
}

// Stats returns what the engine is doing now.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Running, s.Waiting = len(e.running), e.tenants.waiting
	s.CacheBlocks, s.CacheUsed, s.CacheKept = e.pool.Limit(), e.pool.Used(), e.pool.Kept()
	return s
}

// StepInfo is what a step consisted of.
type StepInfo struct {
	Rows     int // of the pass
	Prefill  int // of which are prompts'
	Decoding int // sequences that had computed all but the last of their tokens
	Guessed  int // rows of tokens that were guessed
}

// count notes what the step at hand consists of.
func (e *Engine) count() {
	e.stats.Steps++
	for _, s := range e.batch {
		e.last.Guessed += s.guessed
		e.stats.Computed += uint64(s.take - s.shared)
		e.last.Rows += s.take - s.shared + s.guessed
	}
	for _, it := range e.plan.started {
		e.last.Prefill += it.take - it.shared
	}
	e.last.Decoding = e.plan.decoding
}

// LastStep returns what the last Step consisted of.
func (e *Engine) LastStep() StepInfo { return e.last }
