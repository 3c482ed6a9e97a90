package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"dlm"
)

// ByteCodec is a dlm.Codec for tests of engines that are sent ids: an id is a
// byte, and two more begin and end a turn.
type ByteCodec struct{}

// Ids of a ByteCodec that are no bytes, and how many ids it has.
const (
	ByteStart = int32(256)
	ByteEnd   = int32(257)
	ByteVocab = 258
)

const byteContext = 512

var byteSpecial = map[int32]string{ByteStart: "<|im_start|>", ByteEnd: "<|im_end|>"}

func byteIDs(text string) []int32 {
	ids := make([]int32, 0, len(text))
	for _, b := range []byte(text) {
		ids = append(ids, int32(b))
	}
	return ids
}

func byteTurn(m dlm.Message) []int32 {
	return append(append([]int32{ByteStart}, byteIDs(m.Role+"\n"+m.Content)...), ByteEnd)
}

// Encode renders and tokenizes a row.
func (ByteCodec) Encode(row dlm.Row, maxLen int) (dlm.Encoded, error) {
	e := dlm.Encoded{EndOfTurn: ByteEnd}
	add := func(trained bool, ids ...int32) {
		for _, id := range ids {
			e.IDs, e.Mask = append(e.IDs, id), append(e.Mask, trained)
		}
	}
	switch {
	case len(row.Messages) > 0:
		for i, m := range row.Messages {
			ids := byteTurn(m)
			head := 2 + len(m.Role)
			add(false, ids[:head]...)
			add(m.Role == "assistant" && i >= row.TrainFrom, ids[head:]...)
			add(false, '\n')
		}
	case row.RawPrompt == "" && row.RawCompletion == "":
		return e, fmt.Errorf("%s:%d: the row is empty", row.File, row.Line)
	default:
		add(false, byteIDs(row.RawPrompt)...)
		add(true, byteIDs(row.RawCompletion)...)
		add(true, ByteEnd)
		e.Mask[0] = false
	}
	if maxLen > 0 && len(e.IDs) > maxLen {
		e.Truncated = slices.Contains(e.Mask[maxLen:], true)
		e.IDs, e.Mask = e.IDs[:maxLen], e.Mask[:maxLen]
	}
	return e, nil
}

// Render returns the conversation as text.
func (c ByteCodec) Render(msgs []dlm.Message, generationPrompt bool) (string, error) {
	var b strings.Builder
	for _, m := range msgs {
		for _, id := range byteTurn(m) {
			b.Write(c.Bytes(id))
		}
		b.WriteByte('\n')
	}
	if generationPrompt {
		b.WriteString(byteSpecial[ByteStart] + "assistant\n")
	}
	return b.String(), nil
}

// Tokenize splits text.
func (c ByteCodec) Tokenize(text string, special bool) []dlm.Token {
	var ids []int32
	for text != "" {
		n := len(text)
		var at int32
		for id, s := range byteSpecial {
			if i := strings.Index(text, s); special && i >= 0 && i < n {
				n, at = i, id
			}
		}
		ids = append(ids, byteIDs(text[:n])...)
		if text = text[n:]; text != "" {
			ids, text = append(ids, at), text[len(byteSpecial[at]):]
		}
	}
	out, s := make([]dlm.Token, len(ids)), c.Spell(nil)
	for i, id := range ids {
		text, _ := s.Push(id)
		out[i] = dlm.Token{ID: id, Text: text}
	}
	return out
}

// Piece returns the text of one id.
func (c ByteCodec) Piece(id int32) string {
	return strings.ToValidUTF8(string(c.Bytes(id)), "\uFFFD")
}

// Bytes returns what one id spells.
func (ByteCodec) Bytes(id int32) []byte {
	if s, ok := byteSpecial[id]; ok {
		return []byte(s)
	}
	return []byte{byte(id)}
}

// Prompt returns the ids of a conversation or of plain text.
func (ByteCodec) Prompt(msgs []dlm.Message, raw string) ([]int32, error) {
	if len(msgs) == 0 {
		if raw == "" {
			return nil, errors.New("neither messages nor plain text is given")
		}
		return byteIDs(raw), nil
	}
	var ids []int32
	for _, m := range msgs {
		ids = append(append(ids, byteTurn(m)...), '\n')
	}
	return append(append(ids, ByteStart), byteIDs("assistant\n")...), nil
}

// Completed returns the ids of a prompt and its completion.
func (c ByteCodec) Completed(msgs []dlm.Message, raw, completion string, endOfTurn bool) (ids []int32, from int, err error) {
	if ids, err = c.Prompt(msgs, raw); err != nil {
		return nil, 0, err
	}
	from = len(ids)
	ids = append(ids, byteIDs(completion)...)
	if endOfTurn {
		ids = append(ids, ByteEnd)
	}
	return ids, from, nil
}

// Spell begins the text of a completion.
func (c ByteCodec) Spell(stop []string) dlm.TextStream { return &byteText{c: c, stop: stop} }

// StopIDs are the tokens that end a completion.
func (ByteCodec) StopIDs() []int32 { return []int32{ByteEnd} }

// Context is how many tokens a sequence may have.
func (ByteCodec) Context() int { return byteContext }

type byteText struct {
	c    ByteCodec
	stop []string
	held []byte
}

// Push takes the next id.
func (t *byteText) Push(id int32) (string, bool) {
	t.held = append(t.held, t.c.Bytes(id)...)
	for _, s := range t.stop {
		if i := bytes.Index(t.held, []byte(s)); i >= 0 {
			t.held = t.held[:i]
			return t.Flush(), true
		}
	}
	hold := 0
	for _, s := range t.stop {
		for n := min(len(s)-1, len(t.held)); n > hold; n-- {
			if bytes.HasSuffix(t.held, []byte(s[:n])) {
				hold = n
			}
		}
	}
	for n := 1; n < utf8.UTFMax && n <= len(t.held); n++ {
		if tail := t.held[len(t.held)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				hold = max(hold, n)
			}
			break
		}
	}
	return t.release(len(t.held) - hold), false
}

// Flush returns what was held back.
func (t *byteText) Flush() string { return t.release(len(t.held)) }

func (t *byteText) release(n int) string {
	text := string([]rune(string(t.held[:n])))
	t.held = append(t.held[:0], t.held[n:]...)
	return text
}
