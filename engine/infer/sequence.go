package infer

import (
	"slices"
	"strings"

	"dlm/engine/kv"
	"dlm/engine/model"
	"dlm/engine/sample"
)

// Sequence is one request on its way through the engine.
type Sequence struct {
	item
	ids     []int32 // known tokens: prompt, then completion
	adapter model.Adapter
	tenant  *tenant
	cache   *kv.Sequence // nil while waiting, and for whole
	err     error
	ended   bool

	// of what it shares
	shares    bool     // cache blocks, with those of the same root and tokens
	root      kv.Key   // of its adapter
	chain     []kv.Key // of the full blocks of its known tokens, as far as needed by now
	published int      // blocks that are known to the cache
	known     int      // positions that were computed at some time, by it or by others
	cached    int      // tokens of the prompt that it did not have to compute

	// of a generation
	sampling sample.Params
	history  *sample.History // nil without a penalty
	stopIDs  []int32
	limit    int // len(ids) at which the completion has its full length
	stream   TextStream
	text     strings.Builder
	tokens   []Token
	finish   Finish
	emit     func(Token)

	// of a scoring
	scores []float32 // [len(ids)-prompt], filled from the front; nil for a generation
}

// Done reports whether the sequence has ended, by finishing or by an error.
func (s *Sequence) Done() bool { return s.ended }

// Started reports whether the sequence has had rows in a step.
func (s *Sequence) Started() bool { return s.done > 0 || len(s.tokens) > 0 || s.ended }

// Scores returns the log-probabilities of a scoring, or the error that ended it.
func (s *Sequence) Scores() ([]float32, error) { return s.scores, s.err }

// Result returns the completion, or the error that ended the sequence.
func (s *Sequence) Result() (Result, error) {
	return Result{Text: s.text.String(), Tokens: s.tokens, Finish: s.finish, Cached: s.cached}, s.err
}

// scoring reports whether the sequence's completion is given.
func (s *Sequence) scoring() bool { return s.scores != nil }

// firstWanted is the first position, of those not computed, whose result is read:
// it has to be computed, whatever the cache holds.
func (s *Sequence) firstWanted() int {
	if s.scoring() {
		return s.prompt + len(s.scores) - 1
	}
	return s.need - 1
}

// push takes a generated token and ends the sequence when it is the last.
func (s *Sequence) push(id int32, logp float32, piece []byte) {
	s.ids = append(s.ids, id)
	s.need = len(s.ids)
	if s.history != nil {
		s.history.Add(id)
	}
	t := Token{ID: id, LogProb: logp}
	stopped := slices.Contains(s.stopIDs, id)
	if !stopped {
		t.Text, stopped = s.stream.Push(piece)
	}
	switch {
	case stopped:
		s.finish = Stopped
	case len(s.ids) == s.limit:
		s.finish = Length
	}
	if s.finish != "" {
		t.Text += s.stream.Flush()
		s.ended = true
	}
	s.text.WriteString(t.Text)
	s.tokens = append(s.tokens, t)
	if s.emit != nil {
		s.emit(t)
	}
}
