package testkit

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"dlm"
)

// Codec is the conformance suite of dlm.Codec, for a base with a chat template:
// that of its Encoder, and that the ids sent to an engine are those trained on.
func Codec(t *testing.T, c dlm.Codec) {
	Encoder(t, c)
	t.Run("a prompt is the beginning of what training sees", func(t *testing.T) { codecPrompt(t, c) })
	t.Run("ids spell the completion", func(t *testing.T) { codecText(t, c) })
	t.Run("without a prompt there is nothing to send", func(t *testing.T) {
		_, err := c.Prompt(nil, "")
		refused(t, err, "neither")
		_, _, err = c.Completed(nil, "", "x", false)
		refused(t, err, "neither")
	})
}

func codecPrompt(t *testing.T, c dlm.Codec) {
	msgs := conversation()
	row, err := c.Encode(dlm.Row{Messages: msgs, TrainFrom: 2}, 0)
	if err != nil {
		t.Fatal(err)
	}
	prompt, err := c.Prompt(msgs[:3], "")
	if err != nil {
		t.Fatal(err)
	}
	ids, from, err := c.Completed(msgs[:3], "", msgs[3].Content, true)
	if err != nil {
		t.Fatal(err)
	}
	if from != len(prompt) || !slices.Equal(ids[:from], prompt) || len(ids) > len(row.IDs) || !slices.Equal(ids, row.IDs[:len(ids)]) {
		t.Errorf("prompt %v; completed %v from %d; trained %v", prompt, ids, from, row.IDs)
	}
	if !slices.Contains(c.StopIDs(), ids[len(ids)-1]) {
		t.Errorf("the completion ends with token %d, which is not among the stop tokens %v", ids[len(ids)-1], c.StopIDs())
	}
	open, _, err := c.Completed(msgs[:3], "", msgs[3].Content, false)
	if err != nil || !slices.Equal(open, ids[:len(ids)-1]) {
		t.Errorf("without its end the completion is %v (%v), with it %v", open, err, ids)
	}
	if c.Context() < len(ids) {
		t.Errorf("a context of %d tokens holds no %d", c.Context(), len(ids))
	}
}

func codecText(t *testing.T, c dlm.Codec) {
	for _, p := range prompts {
		ids, from, err := c.Completed(nil, "Say: ", p, false)
		if err != nil {
			t.Fatal(err)
		}
		s, got := c.Spell(nil), ""
		for _, id := range ids[from:] {
			text, stopped := s.Push(id)
			if stopped || !utf8.ValidString(text) {
				t.Errorf("%q: pushing %d gave %q, stopped %v", p, id, text, stopped)
			}
			got += text
		}
		if got += s.Flush(); got != p {
			t.Errorf("the tokens of %q spell %q", p, got)
		}
		codecStops(t, c, p, ids[from:])
	}
}

// codecStops spells the ids of p until a stop string from its middle.
func codecStops(t *testing.T, c dlm.Codec, p string, ids []int32) {
	stop := stopIn(p)
	before, _, _ := strings.Cut(p, stop)
	s, got := c.Spell([]string{"never in a text \x01", stop}), ""
	for _, id := range ids {
		text, stopped := s.Push(id)
		if got += text; stopped {
			break
		}
	}
	if got != before {
		t.Errorf("%q spelt until %q is %q", p, stop, got)
	}
}
