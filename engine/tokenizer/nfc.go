package tokenizer

import (
	"sort"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxMarks is how many combining marks in a row are left to x/text, which puts
// a joiner (U+034F) into runs longer than 30 ("stream-safe text"). The
// reference does not; one character can decompose into three, so 10 is safe.
const maxMarks = 10

// normaliseNFC returns s in Unicode normal form C; bytes that are not UTF-8
// stay as they are.
func normaliseNFC(s string) string {
	if norm.NFC.IsNormalString(s) {
		return s
	}
	if longestMarks(s) <= maxMarks {
		return norm.NFC.String(s)
	}
	return nfcUnbounded(s)
}

// longestMarks returns the length of the longest run of combining characters.
func longestMarks(s string) int {
	longest, run := 0, 0
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			run = 0
			i++
			continue
		}
		p := norm.NFC.PropertiesString(s[i:])
		if p.CCC() == 0 {
			run = 0
		} else if run++; run > longest {
			longest = run
		}
		i += max(p.Size(), 1)
	}
	return longest
}

// mark is a character and its canonical combining class.
type mark struct {
	r   rune
	ccc uint8
}

// nfcUnbounded is NFC by the book (Unicode Standard, section 3.11), for runs of
// marks of any length: decompose, order the marks, compose.
func nfcUnbounded(s string) string {
	out := make([]byte, 0, len(s))
	var seg []mark
	flush := func() {
		out = appendComposed(out, seg)
		seg = seg[:0]
	}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			flush()
			out = append(out, s[i])
			i++
			continue
		}
		for _, d := range norm.NFD.String(string(r)) {
			seg = append(seg, mark{d, norm.NFD.PropertiesString(string(d)).CCC()})
		}
		i += n
	}
	flush()
	return string(out)
}

// appendComposed orders and composes decomposed characters onto out.
func appendComposed(out []byte, seg []mark) []byte {
	for i := 0; i < len(seg); {
		if seg[i].ccc == 0 {
			i++
			continue
		}
		j := i
		for j < len(seg) && seg[j].ccc != 0 {
			j++
		}
		run := seg[i:j]
		sort.SliceStable(run, func(a, b int) bool { return run[a].ccc < run[b].ccc })
		i = j
	}
	starter := -1 // index in done of the last character of class 0
	var done []mark
	for _, m := range seg {
		if starter >= 0 {
			// A mark is blocked from its starter by one of the same or a higher class between them.
			last := done[len(done)-1]
			adjacent := len(done)-1 == starter
			if adjacent || last.ccc != 0 && last.ccc < m.ccc {
				if r, ok := compose(done[starter].r, m.r); ok {
					done[starter].r = r
					continue
				}
			}
		}
		if m.ccc == 0 {
			starter = len(done)
		}
		done = append(done, m)
	}
	for _, m := range done {
		out = utf8.AppendRune(out, m.r)
	}
	return out
}

// compose returns the primary composite of two characters.
func compose(a, b rune) (rune, bool) {
	s := norm.NFC.String(string([]rune{a, b}))
	r, n := utf8.DecodeRuneInString(s)
	return r, n == len(s)
}
