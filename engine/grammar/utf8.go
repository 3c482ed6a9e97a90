package grammar

import "unicode/utf8"

// A class is a set of characters: pairs of first and last, in order, apart from
// each other.
type class []rune

// byteLimits are the last characters of each length in UTF-8, and where the
// surrogates, which are no characters, begin and end.
const (
	surrogateMin = 0xD800
	surrogateMax = 0xDFFF
)

// chars takes one character of c, in UTF-8. Endings that several characters share
// are written once.
func (b *builder) chars(c class) part {
	return func(next int32) int32 {
		w := utf8Writer{b: b, next: next, tails: map[tail]int32{}}
		for i := 0; i < len(c); i += 2 {
			w.runes(c[i], c[i+1])
		}
		if len(w.outs) == 0 {
			return b.fail()
		}
		return b.split(w.outs...)
	}
}

// tail is a continuation byte and what follows it.
type tail struct {
	lo, hi byte
	next   int32
}

type utf8Writer struct {
	b     *builder
	next  int32
	tails map[tail]int32
	outs  []int32
}

// runes adds the characters lo to hi: split where the length changes, around
// surrogates, and until each byte position is a range independent of the others.
func (w *utf8Writer) runes(lo, hi rune) {
	lo, hi = max(lo, 0), min(hi, utf8.MaxRune)
	if lo > hi {
		return
	}
	for _, last := range []rune{0x7F, 0x7FF, surrogateMin - 1, surrogateMax, 0xFFFF} {
		if lo <= last && last < hi {
			w.runes(lo, last)
			w.runes(last+1, hi)
			return
		}
	}
	if lo >= surrogateMin && hi <= surrogateMax {
		return
	}
	var l, h [utf8.UTFMax]byte
	n := utf8.EncodeRune(l[:], lo)
	utf8.EncodeRune(h[:], hi)
	for i := 1; i < n; i++ {
		low := rune(1)<<(6*i) - 1 // the bits of the last i bytes
		if lo&^low == hi&^low {
			continue
		}
		if lo&low != 0 {
			w.runes(lo, lo|low)
			w.runes((lo|low)+1, hi)
			return
		}
		if hi&low != low {
			w.runes(lo, hi&^low-1)
			w.runes(hi&^low, hi)
			return
		}
	}
	next := w.next
	for i := n - 1; i > 0; i-- {
		key := tail{l[i], h[i], next}
		at, ok := w.tails[key]
		if !ok {
			at = w.b.bytes(l[i], h[i], next)
			w.tails[key] = at
		}
		next = at
	}
	w.outs = append(w.outs, w.b.bytes(l[0], h[0], next))
}

// meet returns the characters that are in both classes.
func meet(a, b class) class {
	var out class
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if lo, hi := max(a[i], b[j]), min(a[i+1], b[j+1]); lo <= hi {
			out = append(out, lo, hi)
		}
		if a[i+1] < b[j+1] {
			i += 2
		} else {
			j += 2
		}
	}
	return out
}

// anyChar is every character.
var anyChar = class{0, surrogateMin - 1, surrogateMax + 1, utf8.MaxRune}
