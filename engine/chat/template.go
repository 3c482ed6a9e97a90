package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/ardanlabs/jinja"

	"dlm/engine/tokenizer"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string // "system", "user", "assistant", or what else the template knows
	Content string
}

// assistant is the role whose turns are completions.
const assistant = "assistant"

// Template is a chat template with the tokenizer of its base model. It does not
// change after New and may be used by many goroutines at once.
type Template struct {
	tok       *tokenizer.Tokenizer
	source    string
	compiled  *jinja.Template
	hasBlocks bool // the template says itself what is generated
	vars      map[string]string
	now       time.Time // what strftime_now tells; zero: the template has no such function

	structure map[int32]bool // added tokens that the template itself writes
	endOfTurn int32
	hash      string
}

// New compiles a chat template. vars are the variables that it may use beside
// the messages: bos_token, eos_token and so on, the first two of which default
// to those of the tokenizer; "true" and "false" reach the template as booleans
// (enable_thinking). The variable "now" (a date, 2006-01-02) gives the template
// a fixed today; without it a template falls back on its own.
func New(source string, tok *tokenizer.Tokenizer, vars map[string]string) (*Template, error) {
	if strings.TrimSpace(source) == "" {
		return nil, errors.New("the base model has no chat template; a base (not instruct) model needs one, or plain prompts and completions")
	}
	prepared, hasBlocks, err := prepare(source)
	if err != nil {
		return nil, err
	}
	compiled, err := compile(prepared)
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	t := &Template{tok: tok, source: source, compiled: compiled, hasBlocks: hasBlocks,
		vars: make(map[string]string, len(vars)+2), structure: map[int32]bool{}, endOfTurn: -1}
	for name, id := range map[string]int32{"bos_token": tok.BOS(), "eos_token": tok.EOS()} {
		if id >= 0 {
			t.vars[name] = string(tok.Piece(id))
		}
	}
	for name, v := range vars {
		t.vars[name] = v
	}
	if now, ok := t.vars["now"]; ok {
		if t.now, err = time.Parse(time.DateOnly, now); err != nil {
			return nil, fmt.Errorf("chat template: variable now is %q, expected a date such as 2025-01-31", now)
		}
	}
	t.hash = t.computeHash()
	return t, t.probe()
}

// compile is jinja.Compile, for sources that make the library panic too.
func compile(source string) (t *jinja.Template, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return jinja.Compile(source)
}

// probe renders a conversation to learn which added tokens the template writes
// and which of them ends an assistant turn.
func (t *Template) probe() error {
	const answer = "probe"
	msgs := []Message{{"user", "question"}, {assistant, answer}}
	whole, err := t.render(msgs, false)
	if err != nil {
		return fmt.Errorf("a conversation of one question and one answer cannot be rendered: %w", err)
	}
	prompt, err := t.render(msgs[:1], true)
	if err != nil {
		return fmt.Errorf("a prompt of one question cannot be rendered: %w", err)
	}
	for _, s := range []string{whole.s, prompt.s} {
		for _, id := range t.tok.EncodeSpecial(s) {
			if t.tok.IsAdded(id) {
				t.structure[id] = true
			}
		}
	}
	at := strings.LastIndex(whole.s, answer)
	if at < 0 {
		return errors.New("chat template: it does not write an assistant's message that is plain text (templates for images or audio may want messages in parts, which is not supported)")
	}
	for _, id := range t.tok.EncodeSpecial(whole.s[at+len(answer):]) {
		if t.tok.IsAdded(id) {
			t.endOfTurn = id
			break
		}
	}
	return nil
}

// isStructure reports whether a message must not be able to write a token: all
// special tokens, and the added ones that the template writes itself.
func (t *Template) isStructure(id int32) bool { return t.tok.IsSpecial(id) || t.structure[id] }

// Render returns the conversation as text, as the template writes it.
func (t *Template) Render(msgs []Message, addGenerationPrompt bool) (string, error) {
	if err := t.check(msgs); err != nil {
		return "", err
	}
	r, err := t.render(msgs, addGenerationPrompt)
	return r.s, err
}

// EndOfTurn returns the id that ends an assistant turn, -1 when the template
// writes none.
func (t *Template) EndOfTurn() int32 { return t.endOfTurn }

// StopIDs returns the ids that end a generation: the end of a turn and the end
// of a text, each once.
func (t *Template) StopIDs() []int32 {
	var ids []int32
	for _, id := range []int32{t.endOfTurn, t.tok.EOS()} {
		if id >= 0 && (len(ids) == 0 || ids[0] != id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Source returns the template's text.
func (t *Template) Source() string { return t.source }

// Hash returns the SHA-256, in hex, of the template and its variables.
func (t *Template) Hash() string { return t.hash }

func (t *Template) computeHash() string {
	names := make([]string, 0, len(t.vars))
	for name := range t.vars {
		names = append(names, name)
	}
	sort.Strings(names)
	h := sha256.New()
	fmt.Fprintf(h, "dlm chat template 1\n%d\n%s", len(t.source), t.source)
	for _, name := range names {
		fmt.Fprintf(h, "%d %s %d %s", len(name), name, len(t.vars[name]), t.vars[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}
