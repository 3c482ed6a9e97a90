package infer

import (
	"fmt"
	"slices"

	"dlm/engine/model"
)

// Step computes one pass: it schedules, runs, samples, and takes out what has
// ended. An error is the engine's own (a broken invariant); what goes wrong
// with one sequence ends that sequence only.
func (e *Engine) Step() error {
	e.schedule()
	if len(e.batch) == 0 {
		if e.Idle() {
			return nil
		}
		return fmt.Errorf("infer: %d sequences wait and none can run", len(e.running)+len(e.waiting))
	}
	if err := e.run(); err != nil {
		return err
	}
	e.score()
	e.sample()
	e.running = slices.DeleteFunc(e.running, func(s *Sequence) bool {
		if s.ended {
			e.release(s)
		}
		return s.ended
	})
	return nil
}

// schedule moves sequences between waiting and running and collects the batch,
// grouped by adapter so that each adapter is multiplied once.
func (e *Engine) schedule() {
	for i, list := range [2][]*Sequence{e.running, e.waiting} {
		e.items[i] = e.items[i][:0]
		for n, s := range list {
			if s.whole && n > 0 {
				s.shared = s.sharedWith(list[n-1])
			}
			e.items[i] = append(e.items[i], &s.item)
			if i == 1 && len(e.items[1]) == e.o.MaxSequences {
				break // no more could be admitted
			}
		}
	}
	admit := schedule(e.items[0], e.items[1], limits{
		rows: e.o.MaxTokens, chunk: e.o.PrefillChunk, sequences: e.o.MaxSequences, free: e.pool.Free(),
	})
	for n := len(e.running) - 1; n >= 0 && e.running[n].evict; n-- {
		s := e.running[n]
		e.release(s)
		e.running = e.running[:n]
		e.evicted++
		e.waiting = slices.Insert(e.waiting, 0, s)
	}
	e.running = append(e.running, e.waiting[:admit]...)
	e.waiting = slices.Delete(e.waiting, 0, admit)
	e.group()
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
	e.segs, e.ready, e.rows, e.targets = e.segs[:0], e.ready[:0], e.rows[:0], e.targets[:0]
	row := 0
	for i := 0; i < len(e.batch); i++ {
		s := e.batch[i]
		if s.whole {
			n := wholes(e.batch[i:])
			row += e.runWhole(e.batch[i:i+n], row)
			i += n - 1
			continue
		}
		if s.cache == nil {
			s.cache = e.pool.NewSequence()
		}
		if err := s.cache.Grow(s.take); err != nil {
			return fmt.Errorf("infer: the scheduler gave away blocks that are not there: %w", err)
		}
		e.segs = append(e.segs, model.Segment{IDs: s.ids[s.done : s.done+s.take], Start: s.done, Cache: s.cache, Adapter: s.adapter})
		end := s.done + s.take
		if !s.scoring() && end == s.need {
			e.ready = append(e.ready, s)
			e.rows = append(e.rows, row+s.take-1)
		}
		// Positions that a sequence computes again after an eviction are scored already.
		for next := max(s.done+1, s.prompt+len(s.scores)); s.scoring() && next <= end; next++ {
			e.targets = append(e.targets, model.Target{Row: row + next - 1 - s.done, ID: s.ids[next]})
		}
		row += s.take
	}
	if err := e.pass.Forward(e.segs); err != nil {
		return err
	}
	for _, s := range e.batch {
		s.done += s.take
		if s.cache != nil {
			s.cache.Advance(s.take)
		}
	}
	return nil
}
