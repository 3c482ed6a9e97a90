package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// class is what the pre-tokenisers tell characters apart by.
type class uint8

const (
	other   class = iota // everything else, and each byte that is not valid UTF-8
	letter               // \p{L}
	number               // \p{N}
	space                // \s but for the next
	newline              // \r and \n
)

func (c class) isSpace() bool { return c >= space }

var asciiClass = func() (t [utf8.RuneSelf]class) {
	for b := range t {
		switch r := rune(b); {
		case r == '\r' || r == '\n':
			t[b] = newline
		case unicode.IsSpace(r):
			t[b] = space
		case unicode.IsLetter(r):
			t[b] = letter
		case unicode.IsNumber(r):
			t[b] = number
		}
	}
	return t
}()

// classAt returns the class and the length in bytes of the character at s[i].
// i must be inside s.
func classAt(s string, i int) (class, int) {
	if b := s[i]; b < utf8.RuneSelf {
		return asciiClass[b], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return classOf(r), n
}

// classOf is classAt for characters beyond ASCII. An invalid byte decodes to
// U+FFFD, which is other.
func classOf(r rune) class {
	switch {
	case unicode.IsLetter(r) || in(r, newerLetters):
		return letter
	case unicode.IsNumber(r) || in(r, newerNumbers):
		return number
	case unicode.IsSpace(r):
		return space
	}
	return other
}

// in reports whether r lies in one of the sorted, inclusive ranges.
func in(r rune, ranges [][2]rune) bool {
	lo, hi := 0, len(ranges)
	for lo < hi {
		mid := (lo + hi) / 2
		switch {
		case r < ranges[mid][0]:
			hi = mid
		case r > ranges[mid][1]:
			lo = mid + 1
		default:
			return true
		}
	}
	return false
}
