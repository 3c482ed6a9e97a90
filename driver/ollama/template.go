package ollama

import (
	"errors"
	"fmt"
	"strings"
	"text/template"

	"dlm"
)

// Template translates a base's chat template, which is Jinja, into one of Ollama's,
// which are Go's: the text that stands before and after a system, user and
// assistant message is learned from what the base's own template makes of
// conversations, and the result is compared with it on others. ChatML, Llama 3 and
// their like are templates of this kind. One that does more than wrap messages is
// refused: it would ask the model otherwise than it was trained.
//
// bos is what the tokenizer puts before a text itself ("" = nothing); Ollama's does
// so too, so that the template must not.
func Template(enc dlm.Encoder, bos string) (string, error) {
	p, err := learn(enc, bos)
	if err != nil {
		return "", fmt.Errorf("the base's chat template cannot be translated for Ollama: %w", err)
	}
	text := p.text()
	if err := verify(enc, text, bos, p.hasSystem); err != nil {
		return "", fmt.Errorf("the base's chat template cannot be translated for Ollama: %w", err)
	}
	return text, nil
}

// pieces are what a template writes around messages.
type pieces struct {
	head                    string // of a conversation that begins without a system message
	system, user, assistant wrap
	generation              string // what the model goes on from
	hasSystem               bool
}

// wrap is what stands before and after a message's content.
type wrap struct{ before, after string }

// Contents that no template holds.
const (
	sysText, askText, answerText, againText = "SYS-q7", "ASK-q7", "ANS-q7", "AGAIN-q7"
)

func system(s string) dlm.Message    { return dlm.Message{Role: "system", Content: s} }
func user(s string) dlm.Message      { return dlm.Message{Role: "user", Content: s} }
func assistant(s string) dlm.Message { return dlm.Message{Role: "assistant", Content: s} }

var errShape = errors.New("it does more than write the same text around each message; use another engine, or write a Modelfile by hand")

// learn finds the pieces.
func learn(enc dlm.Encoder, bos string) (p pieces, err error) {
	render := func(generation bool, msgs ...dlm.Message) string {
		if err != nil {
			return ""
		}
		var s string
		s, err = enc.Render(msgs, generation)
		return strings.TrimPrefix(s, bos)
	}
	one, answered := render(false, user(askText)), render(false, user(askText), assistant(answerText))
	asked := render(true, user(askText))
	again := render(false, user(askText), assistant(answerText), user(againText))
	if err != nil {
		return p, err
	}
	ok := true
	cut := func(s, at string) (before, after string) {
		before, after, found := strings.Cut(s, at)
		ok = ok && found
		return before, after
	}
	first, userAfter := cut(one, askText)
	generation, found := strings.CutPrefix(asked, one)
	ok = ok && found
	_, rest := cut(answered, askText)
	between, answerAfter := cut(rest, answerText)
	before, found := strings.CutPrefix(between, userAfter)
	ok = ok && found
	_, rest = cut(again, answerText)
	between, _ = cut(rest, againText)
	userBefore, found := strings.CutPrefix(between, answerAfter)
	ok = ok && found
	head, found := strings.CutSuffix(first, userBefore)
	if !ok || !found {
		return p, errShape
	}
	p = pieces{head: head, user: wrap{userBefore, userAfter}, assistant: wrap{before, answerAfter}, generation: generation}
	withSystem, sysErr := enc.Render([]dlm.Message{system(sysText), user(askText)}, false)
	if sysErr != nil {
		return p, nil // the base knows no system message
	}
	sysBefore, rest := cut(strings.TrimPrefix(withSystem, bos), sysText)
	sysRest, _ := cut(rest, askText)
	sysAfter, found := strings.CutSuffix(sysRest, userBefore)
	if !ok || !found {
		return p, errShape
	}
	p.hasSystem, p.system = true, wrap{sysBefore, sysAfter}
	return p, nil
}

// text writes the pieces as a template.
func (p pieces) text() string {
	var b strings.Builder
	if p.head != "" {
		if p.hasSystem {
			b.WriteString(`{{ if ne (index .Messages 0).Role "system" }}` + literal(p.head) + "{{ end }}")
		} else {
			b.WriteString(literal(p.head))
		}
	}
	b.WriteString("{{ range .Messages }}")
	branch := "{{ if"
	for _, r := range []struct {
		role string
		w    wrap
	}{{"system", p.system}, {"user", p.user}, {"assistant", p.assistant}} {
		if r.role == "system" && !p.hasSystem {
			continue
		}
		b.WriteString(branch + ` eq .Role "` + r.role + `" }}` + literal(r.w.before) + "{{ .Content }}" + literal(r.w.after))
		branch = "{{ else if"
	}
	b.WriteString("{{ end }}{{ end }}" + literal(p.generation))
	return b.String()
}

// literal writes text so that a template gives it back.
func literal(s string) string {
	if strings.Contains(s, "{{") || strings.Contains(s, `"""`) {
		return fmt.Sprintf("{{ %q }}", s)
	}
	return s
}

// verify renders conversations by both.
func verify(enc dlm.Encoder, text, bos string, hasSystem bool) error {
	t, err := template.New("").Parse(text)
	if err != nil {
		return err
	}
	short := []dlm.Message{user("Hello there"), assistant("Good day."), user("What is 2+2?\n\nAnd 3?"), assistant(`{"a": "{{ b }}"}`), user("<b>Thanks</b>")}
	for n := 1; n <= len(short); n += 2 {
		for _, sys := range []bool{false, true} {
			if sys && !hasSystem {
				continue
			}
			msgs := short[:n]
			if sys {
				msgs = append([]dlm.Message{system("Be brief.\nBe kind.")}, msgs...)
			}
			want, err := enc.Render(msgs, true)
			if err != nil {
				return err
			}
			var got strings.Builder
			if err := t.Execute(&got, map[string]any{"Messages": msgs, "System": "", "Response": ""}); err != nil {
				return err
			}
			if want = strings.TrimPrefix(want, bos); got.String() != want {
				return fmt.Errorf("%w (of %d messages it makes %q; the translation makes %q)", errShape, len(msgs), want, got.String())
			}
		}
	}
	return nil
}
