package native

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"dlm"
	"dlm/engine/chat"
	"dlm/engine/infer"
	"dlm/engine/lora"
	"dlm/engine/tokenizer"
	"dlm/engine/weights"
)

// Text is a base without its weights: tokenizer, chat template and identity. It
// is a dlm.Codec, for engines and trainers that load the weights themselves.
type Text struct {
	path    string
	file    string // hash of the base as its files have it
	tok     *tokenizer.Tokenizer
	tmpl    *chat.Template // nil: the base has none, only plain text works
	id      lora.BaseIdentity
	context int // tokens that a sequence may have
	formats formatShelf
}

// OpenText reads what is text in the base at path. Its weights are hashed, not
// loaded. quantize is that of Options: it decides the base's digest.
func OpenText(path, quantize string) (*Text, error) {
	if _, err := parseQuantize(quantize); err != nil {
		return nil, err
	}
	ck, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer ck.Close()
	return textOf(ck, path, quantize)
}

func textOf(ck *weights.Checkpoint, path, quantize string) (*Text, error) {
	t := &Text{path: path, context: ck.Config.MaxSeq}
	err := t.readText(ck)
	if err == nil {
		t.file, err = ck.Hash()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t.id.BaseHash = string(Quantized(dlm.Digest(t.file), quantize))
	t.id.BaseName = ck.Config.Name
	if t.id.BaseName == "" {
		t.id.BaseName = strings.TrimSuffix(filepath.Base(path), ".gguf")
	}
	return t, nil
}

// readText makes the tokenizer and the chat template, and their part of the
// base's identity.
func (t *Text) readText(ck *weights.Checkpoint) error {
	v, err := ck.Vocab()
	if err != nil {
		return err
	}
	if g := v.GGUF; g != nil {
		t.tok, err = tokenizer.New(tokenizer.Vocab{
			Tokens: g.Tokens, Types: g.Types, Merges: g.Merges, Pre: g.Pre,
			BOS: g.BOS, EOS: g.EOS, Pad: g.Pad, Unknown: g.Unknown, AddBOS: g.AddBOS,
		})
	} else {
		t.tok, err = tokenizer.FromJSON(v.TokenizerJSON, v.TokenizerConfig)
	}
	if err != nil {
		return err
	}
	if t.tok.Size() > ck.Config.Vocab {
		return fmt.Errorf("the tokenizer has %d ids, the weights only %d; they do not belong together", t.tok.Size(), ck.Config.Vocab)
	}
	t.id.TokenizerHash = t.tok.Hash()
	if eos := t.tok.EOS(); eos >= 0 {
		t.id.StopIDs = []int32{eos}
	}
	if ck.ChatTemplate() == "" {
		return nil
	}
	t.tmpl, err = chat.New(ck.ChatTemplate(), t.tok, map[string]string{
		"bos_token": t.text(t.tok.BOS()), "eos_token": t.text(t.tok.EOS()), "pad_token": t.text(t.tok.Pad()),
	})
	if err != nil {
		return fmt.Errorf("chat template: %w", err)
	}
	t.id.TemplateHash, t.id.StopIDs = t.tmpl.Hash(), t.tmpl.StopIDs()
	return nil
}

// text returns a token as it is written, "" for none.
func (t *Text) text(id int32) string {
	if id < 0 {
		return ""
	}
	return string(t.tok.Piece(id))
}

// Prompt returns the ids of a conversation with the generation prompt, or of
// plain text.
func (t *Text) Prompt(msgs []dlm.Message, raw string) ([]int32, error) {
	if len(msgs) == 0 {
		if raw == "" {
			return nil, fmt.Errorf("neither messages nor plain text is given")
		}
		return t.plain(raw), nil
	}
	if t.tmpl == nil {
		return nil, errNoTemplate
	}
	return t.tmpl.Prompt(messages(msgs))
}

// plain returns the ids of plain text, after the token that begins a text where
// the base wants one. Special tokens in it are text.
func (t *Text) plain(text string) []int32 {
	var ids []int32
	if t.tok.AddBOS() && t.tok.BOS() >= 0 {
		ids = append(ids, t.tok.BOS())
	}
	return append(ids, t.tok.Encode(text)...)
}

// Completed returns the ids of a prompt with its completion, as training would
// see them, and where the completion starts.
func (t *Text) Completed(msgs []dlm.Message, raw, completion string, endOfTurn bool) (ids []int32, from int, err error) {
	prompt, err := t.Prompt(msgs, raw)
	if err != nil {
		return nil, 0, err
	}
	from = len(prompt)
	if len(msgs) == 0 {
		ids = append(prompt, t.tok.Encode(completion)...)
		if endOfTurn {
			if t.tok.EOS() < 0 {
				return nil, 0, fmt.Errorf("the base has no token that ends a text")
			}
			ids = append(ids, t.tok.EOS())
		}
		return ids, from, nil
	}
	all, mask, err := t.tmpl.Encode(append(messages(msgs), chat.Message{Role: "assistant", Content: completion}), len(msgs))
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
	if last := t.tmpl.EndOfTurn(); last >= 0 && end > from && all[end-1] == last && !endOfTurn {
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
func (t *Text) Encode(row dlm.Row, maxLen int) (dlm.Encoded, error) {
	maxLen = t.maxLen(maxLen)
	e, err := t.encode(row)
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
func (t *Text) maxLen(asked int) int {
	if ctx := t.context; asked <= 0 || asked > ctx {
		return ctx
	}
	return asked
}

func (t *Text) encode(row dlm.Row) (e dlm.Encoded, err error) {
	if len(row.Messages) > 0 {
		if t.tmpl == nil {
			return e, errNoTemplate
		}
		e.EndOfTurn = t.tmpl.EndOfTurn()
		e.IDs, e.Mask, err = t.tmpl.Encode(messages(row.Messages), row.TrainFrom)
		return e, err
	}
	if row.RawPrompt == "" && row.RawCompletion == "" {
		return e, fmt.Errorf("the row is empty")
	}
	e.EndOfTurn = t.tok.EOS()
	from := 1
	if row.RawPrompt != "" {
		e.IDs = t.plain(row.RawPrompt)
		from = len(e.IDs)
		e.IDs = append(e.IDs, t.tok.Encode(row.RawCompletion)...)
	} else {
		e.IDs = t.plain(row.RawCompletion)
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
func (t *Text) Render(msgs []dlm.Message, generationPrompt bool) (string, error) {
	if t.tmpl == nil {
		return "", errNoTemplate
	}
	return t.tmpl.Render(messages(msgs), generationPrompt)
}

// Tokenize splits text. A token's Text is what is whole with it: characters
// that are cut between tokens stand with the last of their bytes.
func (t *Text) Tokenize(text string, special bool) []dlm.Token {
	if special {
		return t.tokens(t.tok.EncodeSpecial(text))
	}
	return t.tokens(t.tok.Encode(text))
}

func (t *Text) tokens(ids []int32) []dlm.Token {
	out := make([]dlm.Token, len(ids))
	s := t.tok.Stream()
	for i, id := range ids {
		out[i] = dlm.Token{ID: id, Text: strings.ToValidUTF8(s.Push(id), "\uFFFD")}
	}
	if rest := s.Flush(); rest != "" && len(out) > 0 {
		out[len(out)-1].Text += strings.ToValidUTF8(rest, "\uFFFD")
	}
	return out
}

// Piece returns the text of one id; bytes that are no whole character show as U+FFFD.
func (t *Text) Piece(id int32) string {
	return strings.ToValidUTF8(string(t.tok.Piece(id)), "\uFFFD")
}

// Bytes returns what one id spells.
func (t *Text) Bytes(id int32) []byte { return t.tok.Piece(id) }

// Spell begins the text of a completion, as serving spells it.
func (t *Text) Spell(stop []string) dlm.TextStream {
	return &textStream{tok: t.tok, s: infer.NewTextStream(stop)}
}

type textStream struct {
	tok *tokenizer.Tokenizer
	s   infer.TextStream
}

// Push takes the next id.
func (t *textStream) Push(id int32) (string, bool) { return t.s.Push(t.tok.Piece(id)) }

// Flush returns what was held back.
func (t *textStream) Flush() string { return t.s.Flush() }

// StopIDs are the tokens that end a completion.
func (t *Text) StopIDs() []int32 { return slices.Clone(t.id.StopIDs) }

// Context is how many tokens prompt and completion may have together.
func (t *Text) Context() int { return t.context }

// errNoTemplate is what a conversation gets from a base without a chat template.
var errNoTemplate = errors.New("the base has no chat template, so it cannot be sent messages; send plain text, or choose an instruct base")
