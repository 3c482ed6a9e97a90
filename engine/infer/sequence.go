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
	prompt  int     // tokens of the prompt
	adapter model.Adapter
	cache   *kv.Sequence // nil while waiting, and for whole
	err     error
	ended   bool

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
	return Result{Text: s.text.String(), Tokens: s.tokens, Finish: s.finish}, s.err
}

// scoring reports whether the sequence's completion is given.
func (s *Sequence) scoring() bool { return s.scores != nil }

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
