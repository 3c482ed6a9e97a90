package infer

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestTextStream(t *testing.T) {
	for _, c := range []struct {
		name   string
		stops  []string
		pieces []string
		shown  []string // after each piece
		rest   string   // flushed at the end
		stop   bool
	}{
		{"plain", nil, []string{"ab", "", "c"}, []string{"ab", "", "c"}, "", false},
		{"a character in pieces", nil, []string{"x\xe2", "\x82", "\xac", "y"}, []string{"x", "", "€", "y"}, "", false},
		{"four bytes", nil, []string{"\xf0", "\x9f", "\x98", "\x80"}, []string{"", "", "", "😀"}, "", false},
		{"never completed", nil, []string{"a\xe2\x82"}, []string{"a"}, "��", false},
		{"cannot be completed", nil, []string{"\xe2", "a"}, []string{"", "�a"}, "", false},
		{"stray continuation", nil, []string{"\x80b"}, []string{"�b"}, "", false},
		{"stop in one piece", []string{"END"}, []string{"oneENDtwo"}, []string{"one"}, "", true},
		{"stop over pieces", []string{"END"}, []string{"one E", "N", "D"}, []string{"one ", "", ""}, "", true},
		{"not a stop after all", []string{"END"}, []string{"one EN", "x"}, []string{"one ", "ENx"}, "", false},
		{"held at the end", []string{"END"}, []string{"one EN"}, []string{"one "}, "EN", false},
		{"overlapping start", []string{"aab"}, []string{"aa", "a", "b"}, []string{"", "a", ""}, "", true},
		{"first complete counts", []string{"abcd", "bc"}, []string{"ab", "c"}, []string{"", "a"}, "", true},
		{"longest of those that end together", []string{"bc", "abc"}, []string{"xab", "c"}, []string{"x", ""}, "", true},
		{"stop within a character's bytes", []string{"é"}, []string{"a\xc3", "\xa9"}, []string{"a", ""}, "", true},
		{"stop string of one byte", []string{"\n"}, []string{"a\nb"}, []string{"a"}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewTextStream(c.stops)
			stopped := false
			for i, p := range c.pieces {
				var text string
				text, stopped = s.Push([]byte(p))
				if text != c.shown[i] {
					t.Errorf("after piece %d: %q, expected %q", i, text, c.shown[i])
				}
			}
			if rest := s.Flush(); rest != c.rest || stopped != c.stop {
				t.Errorf("end: %q, stopped %v; expected %q, %v", rest, stopped, c.rest, c.stop)
			}
		})
	}
}

// TestTextDoesNotDependOnTheCut: with one stop string, the text is what stands
// before its first occurrence, however the bytes come in pieces; every shown
// piece is valid UTF-8, and nothing shown would have to be taken back.
func TestTextDoesNotDependOnTheCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := []byte(rapid.StringOfN(rapid.SampledFrom([]rune("ab€é😀")), 0, 30, -1).Draw(t, "text"))
		if rapid.Bool().Draw(t, "cut off") && len(all) > 0 {
			all = all[:len(all)-1]
		}
		stop := rapid.StringOfN(rapid.SampledFrom([]rune("ab€")), 1, 4, -1).Draw(t, "stop")
		s := NewTextStream([]string{stop})
		got, stopped := "", false
		for rest := all; len(rest) > 0 && !stopped; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			var text string
			text, stopped = s.Push(rest[:n])
			rest = rest[n:]
			if !utf8.ValidString(text) {
				t.Fatalf("showed %q, which is not valid UTF-8", text)
			}
			got += text
		}
		got += s.Flush()
		before, _, found := strings.Cut(string(all), stop)
		if want := string([]rune(before)); got != want || stopped != found {
			t.Fatalf("got %q, stopped %v; expected %q, %v", got, stopped, want, found)
		}
	})
}
