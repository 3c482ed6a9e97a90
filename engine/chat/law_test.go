package chat

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// lawTemplates are all the fixtures, and SmolLM2's own.
func lawTemplates(tb testing.TB) map[string]*Template {
	all := map[string]*Template{"smollm2": smolLM2(tb)}
	for _, name := range []string{"chatml_generation.jinja", "chatml_generation_inline.jinja", "llama3_style.jinja", "qwen2_style.jinja", "thinking_style.jinja", "mistral_style.jinja"} {
		all[name] = template(tb, name)
	}
	return all
}

// checkLaw checks what training and serving must agree on, for one conversation.
func checkLaw(t interface {
	Errorf(format string, args ...any)
}, name string, tmpl *Template, msgs []Message) {
	for from := range msgs {
		ids, mask, err := tmpl.Encode(msgs, from)
		if err != nil {
			continue
		}
		text, _ := tmpl.Render(msgs, false)
		if got := tmpl.tok.Decode(ids); got != text && tmpl.tok.Lost(text) == 0 {
			t.Errorf("%s: %q: ids decode to %q, rendered %q", name, msgs, got, text)
		}
		at := 0 // the ids before it are accounted for
		for k, m := range msgs {
			if m.Role != assistant || k < from {
				continue
			}
			prompt, err := tmpl.Prompt(msgs[:k])
			if err != nil {
				t.Errorf("%s: %q: message %d is trained, but has no prompt: %v", name, msgs, k, err)
				return
			}
			if len(prompt) > len(ids) || !slices.Equal(prompt, ids[:len(prompt)]) {
				t.Errorf("%s: %q: message %d: the prompt's ids are not those in training\n%v\n%v", name, msgs, k, prompt, ids)
				return
			}
			if slices.Contains(mask[at:len(prompt)], true) {
				t.Errorf("%s: %q: message %d: a token of its prompt is trained", name, msgs, k)
			}
			end := len(prompt)
			for end < len(ids) && mask[end] {
				end++
			}
			if got := tmpl.tok.Decode(ids[len(prompt):end]); tmpl.tok.Lost(m.Content) == 0 && !strings.Contains(got, strings.TrimSpace(m.Content)) {
				t.Errorf("%s: %q: message %d: trained is %q", name, msgs, k, got)
			}
			if end == len(prompt) || tmpl.EndOfTurn() >= 0 && ids[end-1] != tmpl.EndOfTurn() {
				t.Errorf("%s: %q: message %d: its end of turn is not trained", name, msgs, k)
			}
			at = end
		}
		if slices.Contains(mask[at:], true) {
			t.Errorf("%s: %q: something is trained after the last completion", name, msgs)
		}
	}
}

// The law of the package: the ids of Encode up to a completion are those of
// Prompt of the messages before it, whatever stands in the messages.
func TestTrainingAndServingSeeTheSameIDs(t *testing.T) {
	templates := lawTemplates(t)
	content := rapid.OneOf(rapid.String(),
		rapid.StringMatching(`[ \n\ta-c1'.<]{0,12}`),
		rapid.StringMatching(`(a| |\n|<\|im_end\|>|<\|im_start\|>|<\|eot_id\|>|\[INST\]|</think>|assistant\n|é){0,8}`))
	rapid.Check(t, func(t *rapid.T) {
		var msgs []Message
		if rapid.Bool().Draw(t, "system") {
			msgs = append(msgs, Message{"system", content.Draw(t, "system content")})
		}
		for range rapid.IntRange(1, 3).Draw(t, "rounds") {
			msgs = append(msgs, user(content.Draw(t, "question")), answer(content.Draw(t, "answer")))
		}
		for name, tmpl := range templates {
			checkLaw(t, name, tmpl, msgs)
		}
	})
}

func FuzzRenderContent(f *testing.F) {
	templates := lawTemplates(f)
	for _, s := range []string{"", "Hi", "a<|im_end|>b", "{{ 7*7 }}", "{% generation %}", "\ue000", "\xff", "<think>x</think>y", "\n\n x "} {
		f.Add(s, s+"!")
	}
	f.Fuzz(func(t *testing.T, question, reply string) {
		for name, tmpl := range templates {
			msgs := []Message{user(question), answer(reply), user(reply), answer(question)}
			checkLaw(t, name, tmpl, msgs)
			if _, err := tmpl.Prompt(msgs[:1]); err != nil {
				t.Errorf("%s: %q: %v", name, question, err)
			}
		}
	})
}

func FuzzPrepare(f *testing.F) {
	for _, s := range []string{"{% generation %}{% endgeneration %}", "{%- generation -%}x{%-endgeneration%}", "{{ x | tojson }}", "{{ '{% generation %}' }}", "{# {% generation %} #}", "{{ \"\\\"", "{%", "{{ 'a' |\n tojson(indent=2) }}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		prepared, blocks, err := prepare(source)
		if err != nil {
			return
		}
		if !blocks && !strings.Contains(source, "tojson") && prepared != source {
			t.Errorf("prepare(%q) = %q", source, prepared)
		}
	})
}
