package infer

import (
	"fmt"
	"slices"

	"dlm/engine/model"
)

// Step computes one pass: it schedules, runs, samples, lets others have the blocks
// that are full, and takes out what has ended. An error is the engine's own (a
// broken invariant); what goes wrong with one sequence ends that sequence only.
func (e *Engine) Step() error {
	e.last = StepInfo{}
	e.guess()
	e.schedule()
	if len(e.batch) == 0 {
		if e.Idle() {
			return nil
		}
		return fmt.Errorf("infer: %d sequences wait and none can run", len(e.running)+e.tenants.waiting)
	}
	e.count()
	if err := e.run(); err != nil {
		return err
	}
	e.score()
	e.sample()
	for _, s := range e.batch {
		s.pay(s.done)
		e.publish(s)
	}
	e.running = slices.DeleteFunc(e.running, func(s *Sequence) bool {
		if s.ended {
			e.leave(s)
			s.letGo()
		}
		return s.ended
	})
	clear(e.segs[:cap(e.segs)]) // their adapters may be gone before the next step
	return nil
}

// schedule moves sequences between waiting and running and collects the batch,
// grouped by adapter so that each adapter is multiplied once.
func (e *Engine) schedule() {
	e.items, e.lines = e.items[:0], e.lines[:0]
	for _, s := range e.running {
		if s.need-s.done > 1 {
			e.adopt(s)
		}
		e.items = append(e.items, &s.item)
	}
	if free := e.o.MaxSequences - len(e.running); free > 0 {
		for _, t := range e.tenants.queued {
			e.lines = append(e.lines, e.line(len(e.lines), t))
		}
	}
	e.plan.decide(e.items, e.lines, limits{
		rows: e.o.MaxTokens, prefill: e.o.PrefillRows, chunk: e.o.PrefillChunk,
		sequences: e.o.MaxSequences, blocks: e.pool.Limit(), free: e.pool.Free(),
	})
	e.running = slices.DeleteFunc(e.running, func(s *Sequence) bool {
		if s.evict {
			e.stats.Preempted++
			s.guess = 0
			e.tenants.enter(s)
		}
		return s.evict
	})
	for _, it := range e.plan.admitted {
		s := it.seq
		e.tenants.leave(s)
		s.tenant.running++
		e.running = append(e.running, s)
		if !s.whole {
			e.admit(s)
		}
	}
	e.group()
}

// lookahead is the number of a tenant's waiting sequences that may be admitted in
// a step, those passed over included.
const lookahead = 64

// line returns the head of a tenant's waiting line, in the memory of list i of e.lines.
func (e *Engine) line(i int, t *tenant) (line []*item) {
	if lists := e.lines[:cap(e.lines)]; i < len(lists) {
		line = lists[i][:0]
	}
	for _, s := range t.waiting[:min(len(t.waiting), lookahead)] {
		line = append(line, &s.item)
	}
	return line
}

// group fills e.batch with the running sequences that have rows, those of one
// adapter side by side, last of them the whole ones, otherwise in order of arrival.
func (e *Engine) group() {
	e.batch = e.batch[:0]
	for i, s := range e.running {
		if s.take == 0 || slices.ContainsFunc(e.running[:i], func(t *Sequence) bool { return t.take > 0 && t.adapter == s.adapter }) {
			continue
		}
		for _, whole := range [2]bool{false, true} {
			for _, t := range e.running[i:] {
				if t.take > 0 && t.adapter == s.adapter && t.whole == whole {
					e.batch = append(e.batch, t)
				}
			}
		}
	}
}

// run computes the batch's positions and notes which rows are wanted.
func (e *Engine) run() error {
	e.segs, e.ready, e.first, e.rows = e.segs[:0], e.ready[:0], e.first[:0], e.rows[:0]
	e.targets, e.tops = e.targets[:0], e.tops[:0]
	row := 0
	for i := 0; i < len(e.batch); i++ {
		s := e.batch[i]
		if s.whole {
			n := wholes(e.batch[i:])
			row += e.runWhole(e.batch[i:i+n], row)
			i += n - 1
			continue
		}
		if err := s.cache.Grow(s.take + s.guessed); err != nil {
			return fmt.Errorf("infer: the scheduler gave away blocks that are not there: %w", err)
		}
		e.segs = append(e.segs, model.Segment{IDs: s.rowIDs(), Start: s.done, Cache: s.cache, Adapter: s.adapter})
		end := s.done + s.take
		if !s.given && end == s.need {
			e.ready, e.first = append(e.ready, s), append(e.first, len(e.rows))
			for i := range 1 + s.guessed {
				e.rows = append(e.rows, row+s.take-1+i)
			}
		}
		// Positions that a sequence computes again after an eviction are scored already.
		for next := s.nextScored(); s.scores != nil && next <= min(end, s.until-1); next++ {
			e.want(s, next, row+next-1-s.done)
		}
		row += s.take + s.guessed
	}
	if err := e.pass.Forward(e.segs); err != nil {
		return err
	}
	for _, s := range e.batch {
		s.done += s.take
		if s.cache != nil {
			s.cache.Advance(s.take + s.guessed)
		}
	}
	return nil
}

// rowIDs are the tokens of the sequence's rows: those to be computed, then guesses.
func (s *Sequence) rowIDs() []int32 {
	s.ids = append(s.ids, s.guesses[:s.guessed]...)
	ids := s.ids[s.done : s.done+s.take+s.guessed]
	s.ids = s.ids[:len(s.ids)-s.guessed]
	return ids
}
