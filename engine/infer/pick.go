package infer

import (
	"errors"
	"fmt"

	"dlm/engine/model"
	"dlm/engine/sample"
)

// pick is a token chosen from one row of logits.
type pick struct {
	id   int32
	logp float32
	top  []model.Alternative // as many as the request wants
}

// sample picks the next token of every sequence whose known tokens are all
// computed, and goes on along its guesses as long as they are what was picked. What
// was computed for guesses beyond is undone.
func (e *Engine) sample() {
	if len(e.ready) == 0 {
		return
	}
	v := e.m.Config().Vocab
	e.pass.LogitsRows(e.logits[:len(e.rows)*v], e.rows)
	e.m.Exec().Run(len(e.ready), e.pick)
	for i, s := range e.ready {
		first, n := e.first[i], 0
		for n < e.taken[i] && !s.ended {
			p := &e.picks[first+n]
			s.push(p.id, p.logp, e.pieces.Piece(p.id), e.alternatives(p.top))
			e.stats.Generated++
			n++
		}
		if s.err == nil && e.pickErr[i] != nil && !s.ended {
			s.err, s.ended = e.pickErr[i], true
		}
		if s.guessed > 0 {
			e.settle(s, n)
		}
	}
}

// alternatives gives tokens their bytes.
func (e *Engine) alternatives(top []model.Alternative) []Alternative {
	if len(top) == 0 {
		return nil
	}
	out := make([]Alternative, len(top))
	for i, a := range top {
		out[i] = Alternative{ID: a.ID, LogProb: a.LogProb, Bytes: e.pieces.Piece(a.ID)}
	}
	return out
}

// pickOne is one task of sample: the picks of one sequence, each as it would be
// without guesses. It leaves their number in e.taken.
func (e *Engine) pickOne(task, worker int) {
	s, first := e.ready[task], e.first[task]
	n := 0
	e.pickErr[task] = nil
	for {
		p := &e.picks[first+n]
		if err := e.choose(s, p, first+n, n, worker); err != nil {
			e.pickErr[task] = err
			break
		}
		n++
		if s.history != nil {
			s.history.Add(p.id)
		}
		if n > s.guessed || p.id != s.guesses[n-1] || s.stops(p.id) {
			break
		}
	}
	e.taken[task] = n
}

// choose picks the n-th token after those known from a row of logits, and tells the
// grammar.
func (e *Engine) choose(s *Sequence, p *pick, row, n, worker int) error {
	v := e.m.Config().Vocab
	logits := e.logits[row*v : (row+1)*v]
	at := sample.Place{Position: len(s.ids) + n, History: s.history}
	if len(s.tokens)+n < s.least {
		at.Banned = s.stopIDs
	}
	id, err := e.pickAllowed(s, logits, at, worker)
	if errors.Is(err, sample.ErrNoneAllowed) {
		return s.deadEnd(len(s.tokens)+n, len(at.Banned) > 0)
	}
	if err != nil {
		return err
	}
	if cap(p.top) < s.top {
		p.top = make([]model.Alternative, s.top)
	}
	p.id, p.top = id, p.top[:s.top]
	if p.logp = e.m.LogSoftmaxTop(logits, id, p.top); notFinite(p.logp) {
		return sample.ErrNotFinite
	}
	return nil
}

// pickAllowed picks a token that the sequence's grammar allows.
func (e *Engine) pickAllowed(s *Sequence, logits []float32, at sample.Place, worker int) (int32, error) {
	sampler := e.samplers[worker]
	if s.grammar == nil {
		return sampler.Pick(logits, s.sampling, at)
	}
	if s.sampling.Greedy() {
		// The likeliest token of all, when it is allowed, is the likeliest of those that
		// are: asking about one token is quicker than asking for a mask.
		if id, err := sampler.Pick(logits, s.sampling, at); err != nil || s.grammar.Advance(id) {
			return id, err
		}
	}
	at.Allowed = e.masks[worker]
	s.grammar.Mask(at.Allowed)
	id, err := sampler.Pick(logits, s.sampling, at)
	if err == nil && !s.grammar.Advance(id) {
		err = fmt.Errorf("the format's mask allows id %d and the format refuses it", id)
	}
	return id, err
}

// ErrFormat means that a completion cannot go on as its request wants it: the
// fault is the request's.
var ErrFormat = errors.New("the completion cannot be what it must be")

// deadEnd is the error of a completion that no token can go on with.
func (s *Sequence) deadEnd(n int, tooShort bool) error {
	if g, ok := s.grammar.(interface{ Err() error }); ok && g.Err() != nil {
		return fmt.Errorf("%w: after %d tokens: %w", ErrFormat, n, g.Err())
	}
	want := ""
	if g, ok := s.grammar.(interface{ Expected() string }); ok {
		want = "; it still expects " + g.Expected()
	}
	if tooShort {
		return fmt.Errorf("%w: after %d tokens the format allows no more text, and min_tokens %d no end; ask for fewer tokens", ErrFormat, n, s.least)
	}
	return fmt.Errorf("%w: after %d tokens no token of the base's vocabulary can go on with what the format asks for%s", ErrFormat, n, want)
}
