package infer

import (
	"bytes"
	"unicode/utf8"
)

// TextStream turns the bytes of tokens into text that can be shown at once:
// whole UTF-8 characters, and nothing that may still become a stop string.
// Bytes that can no longer become a character are shown as U+FFFD.
type TextStream struct {
	stops   [][]byte
	pending []byte // not shown yet
}

// NewTextStream begins a completion that ends at the first of the stop strings.
func NewTextStream(stops []string) TextStream {
	t := TextStream{}
	for _, s := range stops {
		t.stops = append(t.stops, []byte(s))
	}
	return t
}

// Push adds a token's bytes and returns the text that can be shown now. When a
// stop string is complete it returns what stands before it, and stopped.
func (t *TextStream) Push(piece []byte) (text string, stopped bool) {
	t.pending = append(t.pending, piece...)
	if at := t.findStop(); at >= 0 {
		t.pending = t.pending[:at]
		return t.Flush(), true
	}
	hold := max(t.stopPrefix(), incomplete(t.pending))
	return t.release(len(t.pending) - hold), false
}

// Flush returns all that was held back.
func (t *TextStream) Flush() string { return t.release(len(t.pending)) }

// release returns the first n pending bytes as valid UTF-8 and forgets them.
func (t *TextStream) release(n int) string {
	if n == 0 {
		return ""
	}
	text := valid(t.pending[:n])
	t.pending = t.pending[:copy(t.pending, t.pending[n:])]
	return text
}

// findStop returns where the stop string starts that is complete first, -1 when
// none is. Of several that end together the longest counts.
func (t *TextStream) findStop() int {
	at, end := -1, len(t.pending)+1
	for _, s := range t.stops {
		if i := bytes.Index(t.pending, s); i >= 0 {
			if e := i + len(s); e < end || e == end && i < at {
				at, end = i, e
			}
		}
	}
	return at
}

// stopPrefix is the length of the longest end of pending that a stop string starts with.
func (t *TextStream) stopPrefix() int {
	longest := 0
	for _, s := range t.stops {
		for n := min(len(s)-1, len(t.pending)); n > longest; n-- {
			if bytes.HasSuffix(t.pending, s[:n]) {
				longest = n
			}
		}
	}
	return longest
}

// incomplete is the number of bytes at the end of b that start a character
// which is not complete yet.
func incomplete(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return n
			}
			return 0
		}
	}
	return 0
}

// valid returns b as a string with U+FFFD for each byte that is no part of a character.
func valid(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string([]rune(string(b)))
}
