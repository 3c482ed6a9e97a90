package native

import (
	"fmt"
	"slices"
	"strings"

	"dlm"
	"dlm/engine/chat"
)

// prompt returns the ids of a conversation with the generation prompt, or of
// plain text.
func (n *Native) prompt(msgs []dlm.Message, raw string) ([]int32, error) {
	if len(msgs) == 0 {
		if raw == "" {
			return nil, fmt.Errorf("neither messages nor plain text is given")
		}
		return n.plain(raw), nil
	}
	if n.tmpl == nil {
		return nil, errNoTemplate
	}
	return n.tmpl.Prompt(messages(msgs))
}

// plain returns the ids of plain text, after the token that begins a text where
// the base wants one. Special tokens in it are text.
func (n *Native) plain(text string) []int32 {
	var ids []int32
	if n.tok.AddBOS() && n.tok.BOS() >= 0 {
		ids = append(ids, n.tok.BOS())
	}
	return append(ids, n.tok.Encode(text)...)
}

// completed returns the ids of a prompt with its completion, as training would
// see them, and where the completion starts.
func (n *Native) completed(msgs []dlm.Message, raw, completion string, endOfTurn bool) (ids []int32, from int, err error) {
	prompt, err := n.prompt(msgs, raw)
	if err != nil {
		return nil, 0, err
	}
	from = len(prompt)
	if len(msgs) == 0 {
		ids = append(prompt, n.tok.Encode(completion)...)
		if endOfTurn {
			if n.tok.EOS() < 0 {
				return nil, 0, fmt.Errorf("the base has no token that ends a text")
			}
			ids = append(ids, n.tok.EOS())
		}
		return ids, from, nil
	}
	all, mask, err := n.tmpl.Encode(append(messages(msgs), chat.Message{Role: "assistant", Content: completion}), len(msgs))
	if err != nil {
		return nil, 0, err
	}
	if len(all) < from || !slices.Equal(all[:from], prompt) {
		return nil, 0, fmt.Errorf("the chat template writes this prompt otherwise when a completion follows it, so training and serving would see different tokens")
	}
	end := from
	for end < len(all) && mask[end] {
		end++
	}
	if last := n.tmpl.EndOfTurn(); last >= 0 && end > from && all[end-1] == last && !endOfTurn {
		end--
	} else if endOfTurn && (last < 0 || end == from || all[end-1] != last) {
		return nil, 0, fmt.Errorf("the chat template ends no turn with a token of its own")
	}
	return all[:end], from, nil
}

func messages(msgs []dlm.Message) []chat.Message {
	out := make([]chat.Message, len(msgs), len(msgs)+1)
	for i, m := range msgs {
		out[i] = chat.Message{Role: m.Role, Content: m.Content}
	}
	return out
}

// Encode renders and tokenizes a row. Of a row in plain text the completion,
// its end-of-text token included, counts in the loss; a text alone counts
// whole, except the first token, which nothing stands before.
//
// A row longer than maxLen tokens (0: the base's context) is cut. Truncated says
// so when that took tokens of a completion; what a template writes after the
// last turn is no loss.
func (n *Native) Encode(row dlm.Row, maxLen int) (dlm.Encoded, error) {
	maxLen = n.maxLen(maxLen)
	e, err := n.encode(row)
	if err != nil {
		return dlm.Encoded{}, fmt.Errorf("%s: %w", rowName(row), err)
	}
	if len(e.IDs) > maxLen {
		for _, m := range e.Mask[maxLen:] {
			e.Truncated = e.Truncated || m
		}
		e.IDs, e.Mask = e.IDs[:maxLen], e.Mask[:maxLen]
	}
	return e, nil
}

// maxLen is the number of tokens that a row may have.
func (n *Native) maxLen(asked int) int {
	if ctx := n.m.Config().MaxSeq; asked <= 0 || asked > ctx {
		return ctx
	}
	return asked
}

func (n *Native) encode(row dlm.Row) (e dlm.Encoded, err error) {
	if len(row.Messages) > 0 {
		if n.tmpl == nil {
			return e, errNoTemplate
		}
		e.EndOfTurn = n.tmpl.EndOfTurn()
		e.IDs, e.Mask, err = n.tmpl.Encode(messages(row.Messages), row.TrainFrom)
		return e, err
	}
	if row.RawPrompt == "" && row.RawCompletion == "" {
		return e, fmt.Errorf("the row is empty")
	}
	e.EndOfTurn = n.tok.EOS()
	from := 1
	if row.RawPrompt != "" {
		e.IDs = n.plain(row.RawPrompt)
		from = len(e.IDs)
		e.IDs = append(e.IDs, n.tok.Encode(row.RawCompletion)...)
	} else {
		e.IDs = n.plain(row.RawCompletion)
	}
	if e.EndOfTurn >= 0 {
		e.IDs = append(e.IDs, e.EndOfTurn)
	}
	e.Mask = make([]bool, len(e.IDs))
	for i := from; i < len(e.Mask); i++ {
		e.Mask[i] = true
	}
	return e, nil
}

// rowName says where a row stands.
func rowName(row dlm.Row) string {
	switch {
	case row.File != "" && row.Line > 0:
		return fmt.Sprintf("%s:%d", row.File, row.Line)
	case row.ID != "":
		return "row " + row.ID
	}
	return "row"
}

// Render returns the conversation as the base's chat template writes it.
func (n *Native) Render(msgs []dlm.Message, generationPrompt bool) (string, error) {
	if n.tmpl == nil {
		return "", errNoTemplate
	}
	return n.tmpl.Render(messages(msgs), generationPrompt)
}

// Tokenize splits text. A token's Text is what is whole with it: characters
// that are cut between tokens stand with the last of their bytes.
func (n *Native) Tokenize(text string, special bool) []dlm.Token {
	if special {
		return n.tokens(n.tok.EncodeSpecial(text))
	}
	return n.tokens(n.tok.Encode(text))
}

func (n *Native) tokens(ids []int32) []dlm.Token {
	out := make([]dlm.Token, len(ids))
	s := n.tok.Stream()
	for i, id := range ids {
		out[i] = dlm.Token{ID: id, Text: strings.ToValidUTF8(s.Push(id), "\uFFFD")}
	}
	if rest := s.Flush(); rest != "" && len(out) > 0 {
		out[len(out)-1].Text += strings.ToValidUTF8(rest, "\uFFFD")
	}
	return out
}

// Piece returns the text of one id; bytes that are no whole character show as U+FFFD.
func (n *Native) Piece(id int32) string {
	return strings.ToValidUTF8(string(n.tok.Piece(id)), "\uFFFD")
}
