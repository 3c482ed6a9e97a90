package infer

import (
	"fmt"
	"math"
	"slices"

	"dlm/engine/sample"
)

// score reads the log-probabilities of the targets that run noted.
func (e *Engine) score() {
	if n := len(e.targets); n > 0 {
		if n > len(e.logps) { // a shared row has the targets of several sequences
			e.logps = make([]float32, n)
		}
		e.pass.LogProbs(e.logps[:len(e.targets)], e.targets)
	}
	at := 0
	for _, s := range e.batch {
		if !s.scoring() {
			continue
		}
		n := max(0, s.done-s.prompt-len(s.scores)+1)
		s.scores = append(s.scores, e.logps[at:at+n]...)
		at += n
		if s.done == s.need {
			s.ended = true
			if i := slices.IndexFunc(s.scores, notFinite); i >= 0 {
				s.err = fmt.Errorf("token %d of the completion: %w", i, sample.ErrNotFinite)
			}
		}
	}
}

// notFinite lets minus infinity pass: a probability of zero.
func notFinite(logp float32) bool { return logp != logp || math.IsInf(float64(logp), 1) }
