package testkit

import (
	"slices"
	"testing"

	"dlm"
)

// Codec is the conformance suite of dlm.Codec, for a base with a chat template:
// that of its Encoder, and that the ids sent to an engine are those trained on.
func Codec(t *testing.T, c dlm.Codec) {
	Encoder(t, c)
	t.Run("a prompt is the beginning of what training sees", func(t *testing.T) { codecPrompt(t, c) })
	t.Run("bytes spell the completion", func(t *testing.T) { codecBytes(t, c) })
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

func codecBytes(t *testing.T, c dlm.Codec) {
	for _, p := range prompts {
		ids, from, err := c.Completed(nil, "Say: ", p, false)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, id := range ids[from:] {
			got = append(got, c.Bytes(id)...)
		}
		if string(got) != p {
			t.Errorf("the bytes of %q spell %q", p, got)
		}
	}
	if b := c.Bytes(-1); b != nil {
		t.Errorf("token -1 has the bytes %q", b)
	}
}
