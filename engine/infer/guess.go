package infer

// Guesses are tokens that may come next: what a grammar forces, or what followed
// the last time when the text read as it does now (prompt lookup decoding, Saxena
// 2023; Yang et al., "Inference with Reference", arXiv 2304.04487). They take rows
// behind the last known token in the same step. Every row's token is then picked as
// it would be without them; those that a guess foretold are kept, with one more.
// Rows do not see those behind them and do not depend on their neighbours (engine
// law 2), so guesses change no bit of any result, only the number of steps.
//
// A step of a few rows takes about as long as a step of one, since reading the
// weights is what takes the time; where other sequences fill the step there is
// nothing to be had.

const (
	// cheapRows is the number of rows up to which one more is nearly free.
	cheapRows = 8
	// longestMatch is the number of tokens at the end of a text whose like is looked
	// for, shortestMatch the least that makes a guess.
	longestMatch, shortestMatch = 4, 2
	// longestWait is the most tokens to go by without a guess after wrong ones.
	longestWait = 64
)

// guesser decides how far ahead a sequence guesses.
type guesser struct {
	guesses []int32 // for the step at hand
	most    int     // Request.Draft
	length  int     // to guess next time
	wrong   int     // steps in a row whose guesses were all wrong
	wait    int     // steps to go without a guess
}

// guess makes guesses for the sequences that decode, as far as there are cheap rows.
func (e *Engine) guess() {
	decoding, eager := 0, 0
	for _, s := range e.running {
		s.item.guess, s.guesses = 0, s.guesses[:0]
		if s.given || s.need-s.done != 1 {
			continue
		}
		decoding++
		if s.most > 0 {
			eager++
		}
	}
	left := cheapRows - decoding
	for _, s := range e.running {
		if left <= 0 {
			return
		}
		if s.given || s.need-s.done != 1 || s.most == 0 {
			continue
		}
		s.foresee((left + eager - 1) / eager)
		left -= len(s.guesses)
		s.item.guess = len(s.guesses)
		eager--
	}
}

// foresee fills s.guesses with at most n tokens. The token after the last guess is
// picked too, so there are none for the completion's last.
func (s *Sequence) foresee(n int) {
	if n = min(n, s.limit-s.need-1); n <= 0 {
		return
	}
	if s.grammar != nil {
		s.foreseeGrammar(n)
		return
	}
	if s.wait > 0 {
		s.wait--
		return
	}
	from := s.lookup()
	n = min(n, s.length)
	for ; from > 0 && from < len(s.ids) && len(s.guesses) < n; from++ {
		s.guesses = append(s.guesses, s.ids[from])
	}
}

// foreseeGrammar guesses what the grammar forces, and between that what lookup
// finds and the grammar allows.
func (s *Sequence) foreseeGrammar(n int) {
	mark := s.grammar.Mark()
	defer s.grammar.Reset(mark)
	for len(s.guesses) < n {
		before := len(s.guesses)
		s.guesses = s.grammar.Forced(s.guesses)
		at := before
		for at < len(s.guesses) && at < n && s.grammar.Advance(s.guesses[at]) {
			at++
		}
		s.guesses = s.guesses[:at]
		if at == before {
			return
		}
	}
}

// lookup returns the index in s.ids of the token that followed the longest like of
// the text's end, the latest of them; 0 when there is none.
func (s *Sequence) lookup() int {
	ids := s.ids
	last := len(ids) - 1
	best, at := shortestMatch-1, 0
	for i := last - 1; i >= 0 && best < longestMatch; i-- {
		if ids[i] != ids[last] {
			continue
		}
		n := 1
		for n < longestMatch && i-n >= 0 && ids[i-n] == ids[last-n] {
			n++
		}
		if n > best {
			best, at = n, i+1
		}
	}
	return at
}

// settle takes back what was computed for guesses that did not come: n tokens were
// picked, the last of which is not computed. It notes how good the guesses were.
func (e *Engine) settle(s *Sequence, n int) {
	right := max(0, n-1)
	s.cache.Truncate(s.done + right)
	s.done += right
	e.stats.Drafted += uint64(s.guessed)
	e.stats.Accepted += uint64(right)
	s.learn(right, s.guessed)
}

// learn adapts how far ahead is guessed.
func (g *guesser) learn(right, of int) {
	switch {
	case right == of:
		g.length, g.wrong = min(2*g.length, g.most), 0
	case right > 0:
		g.length, g.wrong = min(right+1, g.most), 0
	default:
		g.length = 1
		g.wait = min(1<<g.wrong, longestWait)
		g.wrong = min(g.wrong+1, 6)
	}
}
