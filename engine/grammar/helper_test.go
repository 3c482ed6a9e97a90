package grammar

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// testVocabulary has every byte, common pieces of JSON and of words, a special
// token (nil) and two ids that end the text; encode takes the longest piece.
func testVocabulary() *Vocabulary {
	var pieces [][]byte
	for b := range 256 {
		pieces = append(pieces, []byte{byte(b)})
	}
	for _, s := range []string{
		`{"`, `":`, `": "`, `",`, `", "`, `"}`, `"]`, `}}`, `],`, `[[`, `{}`, `[]`, ` "`, `\n`, "\n", "\n  ", `\"`, `\u00`, `\ud83d`, `\ude00`,
		"true", "false", "null", "name", "na", "me", "value", "kind", "10", "100", "00", "0.", "12", "-1", "e+", "1e", " a", "ab", "abc", "the", "the ", "é", "€", "😀",
		"\xe2\x82", "\xf0\x9f", "\xa9x", "a\xc3", `":{"`, `":[`, `,"`, `, "`, "tru", "nul", "fal", "aaaaaaaaaaaaaaaa",
	} {
		pieces = append(pieces, []byte(s))
	}
	pieces = append(pieces, nil, []byte("<end>"), []byte("<stop>"))
	n := int32(len(pieces))
	encode := func(text string) (ids []int32) {
		for len(text) > 0 {
			best := 0
			for id, p := range pieces[:n-2] {
				if len(p) > len(pieces[best]) && bytes.HasPrefix([]byte(text), p) || id < 256 && text[0] == byte(id) && best == 0 {
					best = id
				}
			}
			ids = append(ids, int32(best))
			text = text[len(pieces[best]):]
		}
		return ids
	}
	return NewVocabulary(pieces, []int32{n - 2, n - 1}, encode)
}

var shared = testVocabulary()

func mustNew(t testing.TB, g *Grammar, err error) *Automaton {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(g, shared)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func schemaOf(t testing.TB, raw string) *Automaton {
	t.Helper()
	g, err := JSONSchema([]byte(raw))
	return mustNew(t, g, err)
}

// accepts says whether the automaton takes the text, byte by byte, as a whole.
func accepts(a *Automaton, text string) bool {
	m := a.Matcher()
	for i := range len(text) {
		if !m.Advance(int32(text[i])) {
			return false
		}
	}
	return m.now().end
}

func allowedIDs(mask []uint64) (ids []int32) {
	for w, bits := range mask {
		for b := range 64 {
			if bits>>b&1 != 0 {
				ids = append(ids, int32(w*64+b))
			}
		}
	}
	return ids
}

// walk chooses random allowed tokens until the text ends, and returns it. After
// limit tokens it prefers those that bring the end nearer: ends, then brackets
// and quotes.
func walk(t testing.TB, a *Automaton, r *rand.Rand, limit int) string {
	t.Helper()
	m := a.Matcher()
	mask := make([]uint64, a.v.words)
	var text []byte
	for n := 0; ; n++ {
		m.Mask(mask)
		if err := m.Err(); err != nil {
			t.Fatalf("after %q: %v", text, err)
		}
		ids := allowedIDs(mask)
		if len(ids) == 0 {
			t.Fatalf("nothing may follow %q", text)
		}
		id := ids[r.IntN(len(ids))]
		if n > limit && r.IntN(4) > 0 {
			for _, want := range []int32{int32(len(a.v.pieces)) - 1, '"', '}', ']', '0', 'n', 't', ':', ','} {
				if slices.Contains(ids, want) {
					id = want
					break
				}
			}
		}
		if n > 100*limit {
			t.Fatalf("no end: %.300q", text)
		}
		mark := m.Mark()
		if !m.Advance(id) {
			t.Fatalf("after %q: %d (%q) is in the mask but not taken", text, id, a.v.pieces[id])
		}
		if r.IntN(4) == 0 {
			m.Reset(mark)
			if !m.Advance(id) {
				t.Fatal("not taken again after Reset")
			}
		}
		if len(a.v.pieces[id]) == 0 {
			return string(text)
		}
		text = append(text, a.v.pieces[id]...)
	}
}
