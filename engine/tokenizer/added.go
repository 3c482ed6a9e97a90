package tokenizer

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a string that is cut out of text before anything else.
type addedToken struct {
	content string
	id      int32
	special bool // controls the conversation; never taken from plain text
	// The flags of tokenizer.json; all false in GGUF files.
	singleWord bool // only where no word character touches it
	lstrip     bool // takes the spaces on its left with it
	rstrip     bool // and on its right
	normalised bool // looked for after the normaliser has run; never so for special ones
}

// addedSet finds added tokens in text, leftmost first and longest among those
// that begin at one place.
type addedSet struct {
	byFirst [256][]addedToken // longest first
	only    byte              // the first byte of all of them, when there is just one
	count   int               // of distinct first bytes
}

func newAddedSet(tokens []addedToken) *addedSet {
	s := &addedSet{}
	for _, t := range tokens {
		first := t.content[0]
		if s.byFirst[first] == nil {
			s.only = first
			s.count++
		}
		s.byFirst[first] = append(s.byFirst[first], t)
	}
	for _, list := range s.byFirst {
		sort.SliceStable(list, func(i, j int) bool { return len(list[i].content) > len(list[j].content) })
	}
	return s
}

// candidateFrom returns the first place at or after i where a token may begin,
// or -1.
func (s *addedSet) candidateFrom(text string, i int) int {
	switch s.count {
	case 0:
		return -1
	case 1:
		if k := strings.IndexByte(text[i:], s.only); k >= 0 {
			return i + k
		}
		return -1
	}
	for ; i < len(text); i++ {
		if s.byFirst[text[i]] != nil {
			return i
		}
	}
	return -1
}

// match returns the longest allowed token at text[i].
func (s *addedSet) match(text string, i int, allowed func(t *addedToken, start, end int) bool) *addedToken {
	list := s.byFirst[text[i]]
	for k := range list {
		t := &list[k]
		end := i + len(t.content)
		if !strings.HasPrefix(text[i:], t.content) || !allowed(t, i, end) {
			continue
		}
		if t.singleWord && (endsInWord(text[:i]) || startsInWord(text[end:])) {
			continue
		}
		return t
	}
	return nil
}

// cut calls plain for each stretch of text without an added token and found for
// each token, in order.
func (s *addedSet) cut(text string, allowed func(t *addedToken, start, end int) bool, plain func(start, end int), found func(t *addedToken)) {
	from := 0
	for i := s.candidateFrom(text, 0); i >= 0; {
		t := s.match(text, i, allowed)
		if t == nil {
			i = s.candidateFrom(text, i+1)
			continue
		}
		start, end := i, i+len(t.content)
		if t.lstrip {
			start = from + len(strings.TrimRightFunc(text[from:i], unicode.IsSpace))
		}
		if t.rstrip {
			end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
		}
		if start > from {
			plain(from, start)
		}
		found(t)
		from = end
		i = s.candidateFrom(text, end)
	}
	if from < len(text) {
		plain(from, len(text))
	}
}

func endsInWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && isWord(r)
}

func startsInWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && isWord(r)
}

// isWord is the \w of a regular expression.
func isWord(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || unicode.Is(unicode.Pc, r) || unicode.Is(unicode.Nl, r)
}

// AddedSpans returns the byte spans of the added tokens in text that want
// accepts, leftmost and longest first. A caller that puts foreign text into
// its own finds with it what to hand to EncodeSpans as plain.
func (t *Tokenizer) AddedSpans(text string, want func(id int32) bool) [][2]int {
	var spans [][2]int
	pos := 0
	t.raw.cut(text, func(a *addedToken, _, _ int) bool { return want(a.id) },
		func(_, end int) { pos = end },
		func(a *addedToken) {
			// With lstrip or rstrip the token takes spaces with it; the span is its own text.
			start := pos + strings.Index(text[pos:], a.content)
			pos = start + len(a.content)
			spans = append(spans, [2]int{start, pos})
		})
	return spans
}

// IsAdded reports whether id is a special token or another added one.
func (t *Tokenizer) IsAdded(id int32) bool {
	return t.IsSpecial(id) || id >= 0 && int(id) < len(t.kinds) && t.kinds[id] == TypeUserDefined
}
