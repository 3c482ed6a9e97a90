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
// weights is what takes the time; more take theirs each. So a guess is made only
// where, by how well such guesses of the sequence have done, tokens come faster with
// its row than without. Where other sequences fill the step there is nothing to be had.

// stepCost is what a step of so many rows takes, in steps of one row: measured with
// BenchmarkVerify on SmolLM2-135M in Q4_1 (AVX-512, two threads). Only speed hangs on it.
var stepCost = [...]float64{0, 1, 1.05, 1.10, 1.22, 1.39, 1.55, 1.69, 1.83}

const (
	// cheapRows is the number of rows of a step up to which guesses may be worth it.
	cheapRows = len(stepCost) - 1
	// longestMatch is the number of tokens at the end of a text whose like is looked
	// for, shortestMatch the least that makes a guess.
	longestMatch, shortestMatch = 4, 2
)

// source is where a guess comes from.
type source uint8

const (
	shortMatch source = iota // lookup, of fewer than longestMatch tokens
	longMatch                // lookup
	fromGrammar
	sources
)

// startHit is how often a guess of a source is right, before anything is known.
// Estimates move by learnRate of what a verification shows, and creep back towards
// startHit by driftRate where no guess was made, so that bad luck is not forever.
var startHit = [sources]float64{shortMatch: 0.4, longMatch: 0.6, fromGrammar: 0.95}

const learnRate, driftRate = 0.25, 0.005

// guesser makes and judges the guesses of one sequence.
type guesser struct {
	guesses []int32 // for the step at hand
	source  source  // of guesses
	most    int     // Request.Draft
	hit     [sources]float64
	chance  float64 // of guesses[:granted] all being right
	granted int     // guesses that are worth their rows
}

func newGuesser(most int) guesser { return guesser{most: most, hit: startHit} }

// guess makes guesses for the sequences that decode, as far as they are worth it.
func (e *Engine) guess() {
	rows := 0 // of decoding sequences
	e.eager = e.eager[:0]
	for _, s := range e.running {
		s.guess = 0
		if s.given || s.need-s.done != 1 {
			continue
		}
		rows++
		if s.most > 0 {
			e.eager = append(e.eager, s)
		}
	}
	if rows >= e.cheap {
		return
	}
	for _, s := range e.eager {
		s.foresee(e.cheap - rows)
	}
	for expect := float64(rows); rows < e.cheap; rows++ {
		best := likeliest(e.eager)
		if best == nil || !e.pays(rows, expect, best.next()) {
			break
		}
		expect += best.next()
		best.chance, best.granted = best.next(), best.granted+1
	}
	for _, s := range e.eager {
		s.guess = s.granted
		s.creep()
	}
}

// likeliest is the sequence whose next guess is the likeliest to be right.
func likeliest(seqs []*Sequence) (best *Sequence) {
	for _, s := range seqs {
		if s.granted < len(s.guesses) && (best == nil || s.next() > best.next()) {
			best = s
		}
	}
	return best
}

// pays reports whether a step of rows from which so many tokens are expected gives
// tokens faster with one more row that is right by that chance.
func (e *Engine) pays(rows int, expect, chance float64) bool {
	if rows+1 >= len(stepCost) {
		return true // a benchmark's
	}
	return (expect+chance)/stepCost[rows+1] > expect/stepCost[rows]
}

// next is the chance that one more guess than granted is right.
func (g *guesser) next() float64 { return float64(g.chance * g.hit[g.source]) }

// foresee makes at most n guesses. The token after the last guess is picked too, so
// there are none for the completion's last.
func (s *Sequence) foresee(n int) {
	s.guesses, s.granted, s.chance = s.guesses[:0], 0, 1
	if n = min(n, s.most, s.limit-s.need-1); n <= 0 {
		return
	}
	if s.grammar != nil && s.foreseeForced(n) {
		s.source = fromGrammar
		return
	}
	from, match := s.lookup()
	if match == 0 {
		return
	}
	s.source = shortMatch
	if match >= longestMatch {
		s.source = longMatch
	}
	s.guesses = append(s.guesses, s.ids[from:min(len(s.ids), from+n)]...)
	if s.grammar != nil {
		mark := s.grammar.Mark()
		s.guesses = s.guesses[:s.follow(0, n)]
		s.grammar.Reset(mark)
	}
}

// foreseeForced makes guesses of what the grammar forces, and reports whether there are any.
func (s *Sequence) foreseeForced(n int) bool {
	mark := s.grammar.Mark()
	for len(s.guesses) < n {
		before := len(s.guesses)
		s.guesses = s.grammar.Forced(s.guesses)
		s.guesses = s.guesses[:s.follow(before, n)]
		if len(s.guesses) == before {
			break
		}
	}
	s.grammar.Reset(mark)
	return len(s.guesses) > 0
}

// follow advances the grammar along guesses[from:most] and returns where it ends.
func (s *Sequence) follow(from, most int) int {
	most = min(most, len(s.guesses))
	for from < most && s.grammar.Advance(s.guesses[from]) {
		from++
	}
	return from
}

// lookup returns the index in s.ids of the token that followed the longest like of
// the text's end, the latest of them, and how many tokens are alike; 0, 0 when there is none.
func (s *Sequence) lookup() (at, match int) {
	ids := s.ids
	last := len(ids) - 1
	match = shortestMatch - 1
	for i := last - 1; i >= 0 && match < longestMatch; i-- {
		if ids[i] != ids[last] {
			continue
		}
		n := 1
		for n < longestMatch && i-n >= 0 && ids[i-n] == ids[last-n] {
			n++
		}
		if n > match {
			at, match = i+1, n
		}
	}
	if at == 0 {
		return 0, 0
	}
	return at, match
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

// learn takes note that so many of the first of some guesses were right.
func (g *guesser) learn(right, of int) {
	h := &g.hit[g.source]
	for range right {
		*h += float64(learnRate * (1 - *h))
	}
	if right < of {
		*h -= float64(learnRate * *h)
	}
}

// creep lets the estimates forget.
func (g *guesser) creep() {
	for i := range g.hit {
		if g.granted == 0 || source(i) != g.source {
			g.hit[i] += float64(driftRate * (startHit[i] - g.hit[i]))
		}
	}
}
