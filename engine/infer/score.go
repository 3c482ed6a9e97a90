package infer

import (
	"fmt"
	"math"

	"dlm/engine/model"
	"dlm/engine/sample"
)

// want notes that the log-probability of token next is to be read from a row.
func (e *Engine) want(s *Sequence, next, row int) {
	var top []model.Alternative
	if s.top > 0 {
		top = make([]model.Alternative, s.top)
	}
	e.targets = append(e.targets, model.Target{Row: row, ID: s.ids[next]})
	e.tops = append(e.tops, top)
}

// score reads the log-probabilities of the targets that run noted, and ends the
// sequences of which nothing else is wanted.
func (e *Engine) score() {
	if n := len(e.targets); n > 0 {
		if n > len(e.logps) { // a shared row has the targets of several sequences
			e.logps = make([]float32, n)
		}
		e.pass.LogProbsTop(e.logps[:n], e.targets, e.tops)
	}
	at := 0
	for _, s := range e.batch {
		for ; s.scoring() && s.nextScored() <= s.done; at++ {
			s.scored(e.logps[at], e.alternatives(e.tops[at]))
		}
		s.ended = s.ended || s.given && s.done == s.need
	}
}

// scored takes the log-probability of the next token that is scored.
func (s *Sequence) scored(logp float32, top []Alternative) {
	next := s.nextScored()
	if notFinite(logp) && s.err == nil {
		s.err, s.ended = fmt.Errorf("token %d: %w", next, sample.ErrNotFinite), true
	}
	if s.report != nil {
		s.report[next].LogProb, s.report[next].Top = logp, top
	}
	s.scores = append(s.scores, logp)
}

// notFinite lets minus infinity pass: a probability of zero.
func notFinite(logp float32) bool { return logp != logp || math.IsInf(float64(logp), 1) }
