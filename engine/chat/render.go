package chat

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ardanlabs/jinja"
)

// text is a rendered conversation.
type text struct {
	s      string
	plain  [][2]int // bytes that come from a message and look like added tokens
	blocks [][2]int // generation blocks
}

// markers are four characters that occur neither in the messages nor in the
// template. They open and close plain spans and generation blocks.
type markers [4]rune

const (
	plainOpen = iota
	plainClose
	blockOpen
	blockClose
)

// Characters of the private use area, from which markers are chosen.
const firstPrivate, lastPrivate = 0xE000, 0xF8FF

// chooseMarkers finds markers that the texts do not hold.
func chooseMarkers(texts func(yield func(string) bool)) (m markers, err error) {
	var used [lastPrivate - firstPrivate + 1]bool
	for s := range texts {
		if !mayHoldPrivate(s) {
			continue
		}
		for _, r := range s {
			if r >= firstPrivate && r <= lastPrivate {
				used[r-firstPrivate] = true
			}
		}
	}
	n := 0
	for i, taken := range used {
		if !taken {
			m[n] = rune(firstPrivate + i)
			if n++; n == len(m) {
				return m, nil
			}
		}
	}
	return m, errors.New("the messages hold every character of Unicode's private use area; at least four must be left for the template")
}

// mayHoldPrivate looks for the first bytes of characters of the private use area.
func mayHoldPrivate(s string) bool {
	return strings.IndexByte(s, 0xEE) >= 0 || strings.IndexByte(s, 0xEF) >= 0
}

// check refuses conversations that no template can render well.
func (t *Template) check(msgs []Message) error {
	if len(msgs) == 0 {
		return errors.New("the conversation has no messages")
	}
	for i, m := range msgs {
		if m.Role == "" {
			return fmt.Errorf("message %d has no role; expected system, user or assistant", i+1)
		}
		if spans := t.tok.AddedSpans(m.Role, func(int32) bool { return true }); len(spans) > 0 {
			return fmt.Errorf("message %d: the role %q holds a special token", i+1, m.Role)
		}
	}
	return nil
}

// render runs the template and takes the markers out of what it wrote.
func (t *Template) render(msgs []Message, addGenerationPrompt bool) (text, error) {
	m, err := chooseMarkers(func(yield func(string) bool) {
		for _, x := range msgs {
			if !yield(x.Content) || !yield(x.Role) {
				return
			}
		}
		yield(t.source)
	})
	if err != nil {
		return text{}, err
	}
	marked, marks := make([]Message, len(msgs)), false
	for i, x := range msgs {
		spans := t.tok.AddedSpans(x.Content, t.isStructure)
		marked[i] = Message{x.Role, mark(x.Content, spans, m)}
		marks = marks || len(spans) > 0
	}
	raw, err := t.execute(marked, addGenerationPrompt, m)
	if err != nil || !marks && !t.hasBlocks {
		return text{s: raw}, err
	}
	out, err := unmark(raw, m)
	if err != nil {
		return text{}, err
	}
	if marks {
		unmarked, err := t.execute(msgs, addGenerationPrompt, m)
		if err != nil {
			return text{}, err
		}
		same, err := unmark(unmarked, m)
		if err != nil {
			return text{}, err
		}
		if same.s != out.s {
			return text{}, errors.New("the chat template changes special-token strings inside a message; remove them from the message")
		}
	}
	return out, nil
}

// mark puts markers around the spans of s.
func mark(s string, spans [][2]int, m markers) string {
	if len(spans) == 0 {
		return s
	}
	var b strings.Builder
	from := 0
	for _, span := range spans {
		b.WriteString(s[from:span[0]])
		b.WriteRune(m[plainOpen])
		b.WriteString(s[span[0]:span[1]])
		b.WriteRune(m[plainClose])
		from = span[1]
	}
	b.WriteString(s[from:])
	return b.String()
}

// errCut tells of a template that takes only a part of what stands between two markers.
var errCut = errors.New("the chat template cuts a special-token string inside a message, or nests or leaves open a generation block")

// unmark takes the markers out and keeps the spans between them.
func unmark(s string, m markers) (text, error) {
	var b strings.Builder
	var out text
	plainFrom, blockFrom := -1, -1
	toggle := func(from *int, open bool, spans *[][2]int) bool {
		if open != (*from < 0) {
			return false
		}
		if open {
			*from = b.Len()
			return true
		}
		if b.Len() > *from {
			*spans = append(*spans, [2]int{*from, b.Len()})
		}
		*from = -1
		return true
	}
	for _, r := range splitMarkers(s, m) {
		ok := true
		switch r.marker {
		case plainOpen, plainClose:
			ok = toggle(&plainFrom, r.marker == plainOpen, &out.plain)
		case blockOpen, blockClose:
			ok = toggle(&blockFrom, r.marker == blockOpen, &out.blocks)
		default:
			b.WriteString(r.s)
		}
		if !ok {
			return text{}, errCut
		}
	}
	if plainFrom >= 0 || blockFrom >= 0 {
		return text{}, errCut
	}
	out.s = b.String()
	return out, nil
}

// piece is a stretch of text without markers, or one marker.
type piece struct {
	s      string
	marker int // -1 for text
}

func splitMarkers(s string, m markers) []piece {
	var pieces []piece
	from := 0
	for i := 0; i < len(s); i++ {
		if s[i] != 0xEE && s[i] != 0xEF { // first bytes of the private use area
			continue
		}
		for k, r := range m {
			if mk := string(r); strings.HasPrefix(s[i:], mk) {
				pieces = append(pieces, piece{s[from:i], -1}, piece{mk, k})
				from = i + len(mk)
				i = from - 1
				break
			}
		}
	}
	return append(pieces, piece{s[from:], -1})
}

// execute runs the template.
func (t *Template) execute(msgs []Message, addGenerationPrompt bool, m markers) (out string, err error) {
	defer func() {
		// The library panics where a template takes a value for what it is not.
		if p := recover(); p != nil {
			err = fmt.Errorf("chat template: %v", p)
		}
	}()
	list := make([]jinja.Value, len(msgs))
	for i, x := range msgs {
		list[i] = jinja.NewDict()
		d := list[i].AsDict()
		d.Set("role", jinja.NewString(x.Role))
		d.Set("content", jinja.NewString(x.Content))
	}
	data := map[string]jinja.Value{
		"messages":              jinja.NewList(list),
		"add_generation_prompt": jinja.NewBool(addGenerationPrompt),
		"tools":                 jinja.None(),
		"documents":             jinja.None(),
		"strftime_now":          t.clock(),
		jsonFilter:              jinja.NewCallable("tojson", toJSON),
		blockStart:              jinja.NewString(string(m[blockOpen])),
		blockEnd:                jinja.NewString(string(m[blockClose])),
	}
	for name, v := range t.vars {
		data[name] = variable(v)
	}
	out, err = t.compiled.RenderValues(data)
	if err != nil {
		hint := ""
		if strings.Contains(err.Error(), "strftime_now") {
			hint = ` (the template asks for today's date; give it a fixed one as the variable "now", for example 2025-01-31, so that training and serving see the same text)`
		}
		return "", fmt.Errorf("chat template: %w%s", err, hint)
	}
	return out, nil
}

// variable gives a template its switches (enable_thinking=false) as booleans
// and everything else as text.
func variable(v string) jinja.Value {
	switch v {
	case "true", "false":
		return jinja.NewBool(v == "true")
	}
	return jinja.NewString(v)
}
