package curate

import (
	"errors"
	"strings"

	"dlm"
)

// fakeEncoder tokenizes by character behind a ChatML-like template: id 1 starts
// a turn, id 2 ends one, other ids are code points.
type fakeEncoder struct {
	noEnd bool // the template does not end assistant turns with a token that is trained
}

const (
	start = int32(1)
	end   = int32(2)
)

func (f fakeEncoder) Encode(row dlm.Row, maxLen int) (dlm.Encoded, error) {
	e := dlm.Encoded{EndOfTurn: end}
	add := func(trained bool, ids ...int32) {
		for _, id := range ids {
			e.IDs, e.Mask = append(e.IDs, id), append(e.Mask, trained)
		}
	}
	if len(row.Messages) == 0 {
		e.EndOfTurn = -1
		add(false, runes(row.RawPrompt)...)
		add(true, runes(row.RawCompletion)...)
	}
	for i, m := range row.Messages {
		if m.Role == "tool" {
			return e, errors.New("the template has no tool turns")
		}
		trained := m.Role == "assistant" && i >= row.TrainFrom
		add(false, start)
		add(false, runes(m.Role+"\n")...)
		add(trained, runes(m.Content)...)
		add(trained && !f.noEnd, end)
		add(false, '\n')
	}
	if maxLen > 0 && len(e.IDs) > maxLen {
		e.IDs, e.Mask, e.Truncated = e.IDs[:maxLen], e.Mask[:maxLen], true
	}
	return e, nil
}

func runes(s string) []int32 { return []int32(s) }

func (fakeEncoder) Render(msgs []dlm.Message, _ bool) (string, error) {
	var b strings.Builder
	for _, m := range msgs {
		b.WriteString("<|im_start|>" + m.Role + "\n" + m.Content + "<|im_end|>\n")
	}
	return b.String(), nil
}

func (f fakeEncoder) Tokenize(text string, _ bool) []dlm.Token {
	var out []dlm.Token
	for _, r := range text {
		out = append(out, dlm.Token{ID: r, Text: string(r)})
	}
	return out
}

func (fakeEncoder) Piece(id int32) string {
	switch id {
	case start:
		return "<|im_start|>"
	case end:
		return "<|im_end|>"
	}
	return string(id)
}
