package grammar

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

func spelt(ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		b.Write(shared.pieces[id])
	}
	return b.String()
}

// TestForced: what must come is told, up to the first choice; it is taken.
func TestForced(t *testing.T) {
	a := schemaOf(t, `{"type":"object","properties":{"kind":{"enum":["value","other"]},"name":{"const":"the name"}},"required":["kind","name"],"additionalProperties":false}`)
	m := a.Matcher()
	for _, c := range []struct{ forced, chosen string }{{"{", `"`}, {`kind":`, `"v`}, {`alue",`, ` `}, {`"name":`, `"`}, {`the name"`, "}"}, {"", ""}} {
		ids := m.Forced(nil)
		if got := spelt(ids); got != c.forced {
			t.Fatalf("forced %q, expected %q", got, c.forced)
		}
		mark := m.Mark()
		for _, id := range ids {
			if !m.Advance(id) {
				t.Fatalf("%q is not taken", shared.pieces[id])
			}
		}
		m.Reset(mark)
		for _, id := range slices.Concat(ids, shared.encode(c.chosen)) {
			if !m.Advance(id) {
				t.Fatalf("%q is not taken", shared.pieces[id])
			}
		}
	}
	n := int32(len(shared.pieces))
	if m.Advance('x') || !m.Advance(n-1) || m.Advance(n-1) || m.Advance(-1) || m.Advance(n) {
		t.Error("the end is not one token that ends the text")
	}
	mask := make([]uint64, shared.words+1)
	mask[0] = 7
	if m.Mask(mask); len(allowedIDs(mask)) != 0 || len(m.Forced(nil)) != 0 {
		t.Error("something may follow the end")
	}
}

// TestForcedKeepsCharactersWhole: a guess does not end inside a character.
func TestForcedKeepsCharactersWhole(t *testing.T) {
	g, err := Choices([]string{"aé1", "aè2"})
	m := mustNew(t, g, err).Matcher()
	if got := spelt(m.Forced(nil)); got != "a" {
		t.Errorf("forced %q", got)
	}
}

// TestSpecialTokensAreNoText: a special token has no piece and is never allowed,
// nor is one that ends the turn taken for its text.
func TestSpecialTokensAreNoText(t *testing.T) {
	g, err := Regex(`(?s).*`)
	a := mustNew(t, g, err)
	m := a.Matcher()
	mask := make([]uint64, shared.words)
	m.Mask(mask)
	n := int32(len(shared.pieces))
	ids := allowedIDs(mask)
	if slices.Contains(ids, n-3) || !slices.Contains(ids, n-2) || !slices.Contains(ids, n-1) || slices.Contains(ids, 0xff) || !slices.Contains(ids, 'a') {
		t.Errorf("allowed: %v", ids)
	}
	if g, err = Regex("<end>"); err != nil {
		t.Fatal(err)
	}
	m = mustNew(t, g, err).Matcher()
	m.Mask(mask)
	if ids := allowedIDs(mask); !slices.Equal(ids, []int32{'<'}) {
		t.Errorf("allowed: %v", ids)
	}
}

// TestMaskIsWhatAdvanceTakes: for every token, the mask and the walk through its
// bytes say the same, wherever the text stands.
func TestMaskIsWhatAdvanceTakes(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	for _, c := range cases {
		a := schemaOf(t, c.schema)
		m := a.Matcher()
		mask := make([]uint64, shared.words)
		for range 30 {
			m.Mask(mask)
			mark := m.Mark()
			var taken []int32
			for id := range shared.pieces {
				if m.Advance(int32(id)) {
					taken = append(taken, int32(id))
				}
				m.Reset(mark)
			}
			ids := allowedIDs(mask)
			if !slices.Equal(ids, taken) {
				t.Fatalf("%s\nmask %v\ntaken %v", c.schema, ids, taken)
			}
			m.Advance(ids[r.IntN(len(ids))])
			if m.now() == ended {
				break
			}
		}
	}
}

// TestVocabularyWithoutAllBytes: where a byte has no token of its own, no token
// is allowed that begins a character which cannot be ended.
func TestVocabularyWithoutAllBytes(t *testing.T) {
	var pieces [][]byte
	for b := range 128 {
		pieces = append(pieces, []byte{byte(b)})
	}
	pieces = append(pieces, []byte("\xc3"), []byte("\xa9"), []byte("\xe2"), []byte("x\xe2\x82"), nil) // no continuation but that of é
	v := NewVocabulary(pieces, []int32{132}, nil)
	g, err := Regex(`(?s).*`)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(g, v)
	if err != nil {
		t.Fatal(err)
	}
	mask := make([]uint64, v.words)
	m := a.Matcher()
	m.Mask(mask)
	if ids := allowedIDs(mask); slices.Contains(ids, 130) && m.Advance(130) {
		// e2 a9 is the beginning of a character whose third byte may be a9.
		m.Mask(mask)
		if len(allowedIDs(mask)) == 0 {
			t.Error("stuck inside a character")
		}
	}
	for _, bad := range []int32{129} {
		if m = a.Matcher(); m.Advance(bad) {
			t.Errorf("%d is taken", bad)
		}
	}
	if g, err = Regex("ÿ"); err != nil {
		t.Fatal(err)
	}
	if _, err := New(g, v); err == nil {
		t.Error("a text that the vocabulary cannot spell is taken")
	}
}

// TestForgetting: an automaton that forgets what it made gives the same masks.
func TestForgetting(t *testing.T) {
	const schema = `{"type":"array","items":{"type":"object","properties":{"name":{"type":"string","maxLength":9},"kind":{"type":"integer"}}},"maxItems":5}`
	keeps, forgets := schemaOf(t, schema), schemaOf(t, schema)
	r := rand.New(rand.NewPCG(10, 11))
	for range 20 {
		a, b := keeps.Matcher(), forgets.Matcher()
		x, y := make([]uint64, shared.words), make([]uint64, shared.words)
		for range 60 {
			if r.IntN(3) == 0 {
				forgets.mu.Lock()
				forgets.clear()
				forgets.mu.Unlock()
			}
			a.Mask(x)
			b.Mask(y)
			if !slices.Equal(x, y) {
				t.Fatal("other masks")
			}
			ids := allowedIDs(x)
			if len(ids) == 0 {
				break
			}
			id := ids[r.IntN(len(ids))]
			if !a.Advance(id) || !b.Advance(id) {
				t.Fatal("not taken")
			}
		}
	}
}

// TestSharedAutomaton: completions side by side do not disturb each other.
func TestSharedAutomaton(t *testing.T) {
	a := schemaOf(t, `{"type":"object"}`)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 0))
			for range 20 {
				walk(t, a, r, 40)
			}
		})
	}
	wg.Wait()
}

// TestNoAllocationOnceMade: a step allocates nothing where completions have been.
func TestNoAllocationOnceMade(t *testing.T) {
	a := schemaOf(t, `{"type":"object","properties":{"name":{"type":"string","maxLength":300}}}`)
	ids := shared.encode(`{"name":"some text that goes on and on"}`)
	m := a.Matcher()
	mask := make([]uint64, shared.words)
	step := func() {
		mark := m.Mark()
		for _, id := range ids {
			m.Mask(mask)
			if !m.Advance(id) {
				t.Fatal("not taken")
			}
		}
		m.Reset(mark)
	}
	step()
	if n := testing.AllocsPerRun(20, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
