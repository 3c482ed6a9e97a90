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
	grammar  Grammar // nil = anything
	least    int     // tokens before which no stop token comes
	top      int     // alternatives wanted of each token
	guesser
	limit  int // len(ids) at which the completion has its full length
	stream TextStream
	text   strings.Builder
	tokens []Token
	finish Finish
	emit   func(Token)

	// of a scoring, and of a generation that reports its prompt
	given  bool      // nothing is generated
	scores []float32 // [until-from], filled from the front; nil when none are wanted
	from   int       // first token that is scored
	until  int       // the one after the last
	report []Token   // of the prompt
}

// Done reports whether the sequence has ended, by finishing or by an error.
func (s *Sequence) Done() bool { return s.ended }

// Started reports whether the sequence has had rows in a step.
func (s *Sequence) Started() bool { return s.done > 0 || len(s.tokens) > 0 || s.ended }

// Scores returns the log-probabilities of a scoring, or the error that ended it.
func (s *Sequence) Scores() ([]float32, error) { return s.scores, s.err }

// Result returns the completion, or the error that ended the sequence.
func (s *Sequence) Result() (Result, error) {
	return Result{Text: s.text.String(), Tokens: s.tokens, Finish: s.finish, Cached: s.cached, Prompt: s.report}, s.err
}

// scoring reports whether there are tokens to be scored.
func (s *Sequence) scoring() bool { return s.scores != nil && s.nextScored() < s.until }

// nextScored is the first token that is not scored yet.
func (s *Sequence) nextScored() int { return s.from + len(s.scores) }

// stops reports whether a token ends the completion.
func (s *Sequence) stops(id int32) bool { return slices.Contains(s.stopIDs, id) }

// firstWanted is the first position, of those not computed, whose result is read:
// it has to be computed, whatever the cache holds.
func (s *Sequence) firstWanted() int {
	if s.scoring() {
		return s.nextScored() - 1
	}
	return s.need - 1
}

// letGo forgets what an ended sequence has no use for: lists of the engine that are
// not as long as they were may still point at it.
func (s *Sequence) letGo() {
	s.adapter, s.history, s.grammar, s.chain, s.emit = nil, nil, nil, nil, nil
}

// push takes a generated token and ends the sequence when it is the last.
func (s *Sequence) push(id int32, logp float32, piece []byte, top []Alternative) {
	s.ids = append(s.ids, id)
	s.need = len(s.ids)
	t := Token{ID: id, LogProb: logp, Bytes: piece, Top: top}
	stopped := s.stops(id)
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
