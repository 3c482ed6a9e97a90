package testkit

import (
	"slices"
	"strings"
	"testing"

	"dlm"
)

// Encoder is the conformance suite of dlm.Encoder, for a base with a chat template.
func Encoder(t *testing.T, e dlm.Encoder) {
	for _, c := range []struct {
		name string
		test func(*testing.T, dlm.Encoder)
	}{
		{"the mask covers the completions and their ends", encodeMask},
		{"plain text", encodeRaw},
		{"cutting is never silent", encodeCuts},
		{"special tokens in content are text", encodeInjection},
		{"tokens spell the text", encodeSpells},
		{"refusals name the row", encodeRefuses},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, e) })
	}
}

func conversation() []dlm.Message {
	return []dlm.Message{
		{Role: "user", Content: "How are you?"}, {Role: "assistant", Content: "Well, thanks."},
		{Role: "user", Content: "And now?"}, {Role: "assistant", Content: "Still well: 漢字 😀."},
	}
}

// spell returns the text of the masked ids, runs parted by "|".
func spell(e dlm.Encoder, enc dlm.Encoded) string {
	var b strings.Builder
	for i, id := range enc.IDs {
		if !enc.Mask[i] {
			continue
		}
		if i > 0 && !enc.Mask[i-1] && b.Len() > 0 {
			b.WriteByte('|')
		}
		b.WriteString(e.Piece(id))
	}
	return b.String()
}

func encodeMask(t *testing.T, e dlm.Encoder) {
	msgs := conversation()
	msgs[3].Content = "Still well."
	for from, want := range map[int][]string{0: {msgs[1].Content, msgs[3].Content}, 2: {msgs[3].Content}} {
		enc, err := e.Encode(dlm.Row{Messages: msgs, TrainFrom: from}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(enc.IDs) != len(enc.Mask) || enc.Truncated || enc.EndOfTurn < 0 {
			t.Fatalf("%d ids, %d mask, truncated %v, end of turn %d", len(enc.IDs), len(enc.Mask), enc.Truncated, enc.EndOfTurn)
		}
		end := e.Piece(enc.EndOfTurn)
		if got := spell(e, enc); got != strings.Join(want, end+"|")+end {
			t.Errorf("from message %d the mask covers %q, expected %q, each with %q", from, got, want, end)
		}
	}
}

func encodeRaw(t *testing.T, e dlm.Encoder) {
	enc, err := e.Encode(dlm.Row{RawPrompt: "one two", RawCompletion: " three"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := spell(e, enc); !strings.HasPrefix(got, " three") || strings.Contains(got, "two") {
		t.Errorf("the mask covers %q, expected \" three\" and the end of the text", got)
	}
	enc, err = e.Encode(dlm.Row{RawCompletion: "one two three"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if enc.Mask[0] || slices.Contains(enc.Mask[1:], false) {
		t.Errorf("mask of a text alone is %v, expected all but the first token", enc.Mask)
	}
}

func encodeCuts(t *testing.T, e dlm.Encoder) {
	row := dlm.Row{Messages: conversation()}
	whole, err := e.Encode(row, 0)
	if err != nil {
		t.Fatal(err)
	}
	last := len(whole.Mask) - 1
	for !whole.Mask[last] {
		last--
	}
	for n := 1; n <= len(whole.IDs); n++ {
		cut, err := e.Encode(row, n)
		if err != nil {
			t.Fatal(err)
		}
		if len(cut.IDs) != n || !slices.Equal(cut.IDs, whole.IDs[:n]) || !slices.Equal(cut.Mask, whole.Mask[:n]) {
			t.Fatalf("cut to %d tokens it is no beginning of the whole", n)
		}
		if cut.Truncated != (n <= last) {
			t.Fatalf("cut to %d of %d tokens, the last in the loss is %d: truncated is %v", n, len(whole.IDs), last, cut.Truncated)
		}
	}
}

func encodeInjection(t *testing.T, e dlm.Encoder) {
	plain, err := e.Encode(dlm.Row{Messages: conversation()}, 0)
	if err != nil {
		t.Fatal(err)
	}
	end := e.Piece(plain.EndOfTurn)
	msgs := conversation()
	msgs[2].Content += end
	injected, err := e.Encode(dlm.Row{Messages: msgs}, 0)
	if err != nil {
		t.Fatal(err)
	}
	count := func(ids []int32) (n int) {
		for _, id := range ids {
			if id == plain.EndOfTurn {
				n++
			}
		}
		return n
	}
	if a, b := count(plain.IDs), count(injected.IDs); a != b {
		t.Errorf("%q in a message made %d ends of turn out of %d", end, b, a)
	}
	if got := e.Tokenize(end, true); len(got) != 1 || got[0].ID != plain.EndOfTurn {
		t.Errorf("%q with special tokens parsed is %v", end, got)
	}
	if got := e.Tokenize(end, false); len(got) == 1 && got[0].ID == plain.EndOfTurn {
		t.Errorf("%q as text is the special token", end)
	}
}

func encodeSpells(t *testing.T, e dlm.Encoder) {
	for _, p := range prompts {
		text := ""
		for _, tok := range e.Tokenize(p, false) {
			text += tok.Text
		}
		if text != p {
			t.Errorf("the tokens of %q spell %q", p, text)
		}
	}
	with, err := e.Render(conversation()[:3], true)
	if err != nil {
		t.Fatal(err)
	}
	without, err := e.Render(conversation()[:3], false)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(with, "And now?") || len(with) <= len(without) {
		t.Errorf("rendered with generation prompt %q, without %q", with, without)
	}
}

func encodeRefuses(t *testing.T, e dlm.Encoder) {
	_, err := e.Encode(dlm.Row{File: "rows.jsonl", Line: 7}, 0)
	refused(t, err, "rows.jsonl:7")
}
