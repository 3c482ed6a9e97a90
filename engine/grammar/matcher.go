package grammar

import (
	"fmt"
	"strings"
)

// Matcher follows one completion. Its methods are for one goroutine; matchers of
// one automaton may be used side by side.
type Matcher struct {
	a    *Automaton
	past []*state // before each token taken, and now
	err  error
}

// ended is the state behind a token that ends the text.
var ended = &state{}

// Matcher returns a matcher at the beginning of a text.
func (a *Automaton) Matcher() *Matcher {
	return &Matcher{a: a, past: append(make([]*state, 0, 256), a.start)}
}

func (m *Matcher) now() *state { return m.past[len(m.past)-1] }

// Err says why no token is allowed any more although the text has no end: nil,
// or [ErrTooComplex].
func (m *Matcher) Err() error { return m.err }

// Expected says which bytes may come next, for errors.
func (m *Matcher) Expected() string {
	var b strings.Builder
	s := m.now()
	for i, c := range s.configs {
		if i == 8 {
			b.WriteString(" or others")
			break
		}
		if i > 0 {
			b.WriteString(" or ")
		}
		in := &m.a.p.insts[c.pc]
		fmt.Fprintf(&b, "%q", in.lo)
		if in.hi != in.lo {
			fmt.Fprintf(&b, " to %q", in.hi)
		}
	}
	if b.Len() == 0 {
		return "nothing"
	}
	return b.String()
}

// Mask sets the bits of the tokens that may come next and clears all others. The
// tokens that end the text are set when it may end here.
func (m *Matcher) Mask(allowed []uint64) {
	clear(allowed)
	s := m.now()
	if s == ended || m.err != nil {
		return
	}
	m.a.mu.Lock()
	defer m.a.mu.Unlock()
	m.a.room()
	mask, err := m.a.maskOf(s)
	if err != nil {
		m.err = err
		return
	}
	copy(allowed, mask)
}

// Advance takes a token. It returns false, and changes nothing, when the token
// may not come next.
func (m *Matcher) Advance(id int32) bool {
	s := m.now()
	if s == ended || m.err != nil || id < 0 || int(id) >= len(m.a.v.pieces) {
		return false
	}
	m.a.mu.Lock()
	defer m.a.mu.Unlock()
	m.a.room()
	piece := m.a.v.pieces[id]
	if len(piece) == 0 {
		if !s.end || !m.a.v.stops(id) {
			return false
		}
		m.past = append(m.past, ended)
		return true
	}
	for _, b := range piece {
		var err error
		if s, err = m.a.step(s, m.a.p.class[b]); err != nil {
			m.err = err
			return false
		}
		if s == dead {
			return false
		}
	}
	if !m.a.v.whole && !m.a.speakable(s) {
		return false
	}
	m.past = append(m.past, s)
	return true
}

func (v *Vocabulary) stops(id int32) bool {
	for _, s := range v.stop {
		if s == id {
			return true
		}
	}
	return false
}

// maxForced is how much text Forced looks ahead, in bytes.
const maxForced = 256

// Forced appends the tokens that spell what must come next whatever is chosen, as
// the tokenizer spells it; there may be none. It is a guess: the same text may be
// spelt otherwise.
func (m *Matcher) Forced(dst []int32) []int32 {
	s := m.now()
	if s == ended || m.err != nil || m.a.v.encode == nil {
		return dst
	}
	m.a.mu.Lock()
	m.a.room()
	var buf [maxForced]byte
	text := buf[:0]
	for len(text) < maxForced && !s.end {
		b, next, ok := m.a.only(s)
		if !ok {
			break
		}
		text = append(text, b)
		s = next
	}
	m.a.mu.Unlock()
	for len(text) > 0 && text[len(text)-1] >= 0x80 {
		text = text[:len(text)-1] // characters that may be cut
	}
	if len(text) == 0 {
		return dst
	}
	return append(dst, m.a.v.encode(string(text))...)
}

// only returns the one byte that may come in s.
func (a *Automaton) only(s *state) (b byte, next *state, ok bool) {
	for i := range s.configs {
		in := &a.p.insts[s.configs[i].pc]
		if in.lo != in.hi || i > 0 && in.lo != b {
			return 0, nil, false
		}
		b = in.lo
	}
	if len(s.configs) == 0 {
		return 0, nil, false
	}
	next, err := a.step(s, a.p.class[b])
	return b, next, err == nil
}

// Mark names the state. Reset goes back to a state named before, and may be
// called with it again until one before that is gone back to.
func (m *Matcher) Mark() int { return len(m.past) - 1 }

// Reset goes back to a state named before.
func (m *Matcher) Reset(mark int) { m.past = m.past[:mark+1] }
