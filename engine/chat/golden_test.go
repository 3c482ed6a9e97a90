package chat

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

type goldenMessages []Message

func (m *goldenMessages) UnmarshalJSON(b []byte) error {
	var list []struct{ Role, Content string }
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	for _, x := range list {
		*m = append(*m, Message(x))
	}
	return nil
}

type golden struct {
	ChatTemplate string `json:"chat_template"`
	Cases        []struct {
		Messages  goldenMessages
		TextPlain string  `json:"text_plain"`
		TextGen   string  `json:"text_gen"`
		IDsPlain  []int32 `json:"ids_plain"`
		IDsGen    []int32 `json:"ids_gen"`
	}
}

func readGolden(tb testing.TB) golden {
	tb.Helper()
	b, err := os.ReadFile("../testdata/goldens/chat_template.json")
	if err != nil {
		tb.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		tb.Fatal(err)
	}
	return g
}

// SmolLM2's own template: the text and the ids of Transformers.
func TestSmolLM2Goldens(t *testing.T) {
	g := readGolden(t)
	tmpl := smolLM2(t)
	if len(g.Cases) != 6 {
		t.Fatalf("%d goldens, expected 6", len(g.Cases))
	}
	for i, c := range g.Cases {
		injects := false
		for _, m := range c.Messages {
			injects = injects || strings.Contains(m.Content, "<|im_end|>")
		}
		for _, x := range []struct {
			gen  bool
			text string
			ids  []int32
		}{{false, c.TextPlain, c.IDsPlain}, {true, c.TextGen, c.IDsGen}} {
			text, err := tmpl.Render(c.Messages, x.gen)
			if err != nil {
				t.Fatal(err)
			}
			if text != x.text {
				t.Errorf("case %d: rendered %q, want %q", i, text, x.text)
			}
			if got := tmpl.tok.EncodeSpecial(text); !slices.Equal(got, x.ids) {
				t.Errorf("case %d: ids %v, want %v", i, got, x.ids)
			}
			var ids []int32
			if x.gen {
				ids, err = tmpl.Prompt(c.Messages)
			} else {
				ids, _, err = tmpl.Encode(c.Messages, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			// The one deliberate difference: <|im_end|> inside a message is text to us.
			if slices.Equal(ids, x.ids) == injects {
				t.Errorf("case %d: ids %v, the golden's %v, special tokens in a message: %v", i, ids, x.ids, injects)
			}
			if tmpl.tok.Decode(ids) != text {
				t.Errorf("case %d: ids decode to %q", i, tmpl.tok.Decode(ids))
			}
		}
	}
}

// Templates in the manner of several families, as Transformers renders them
// (testdata/make.py), generation blocks included.
func TestTemplatesAgreeWithTransformers(t *testing.T) {
	b, err := os.ReadFile("testdata/templates.json")
	if err != nil {
		t.Fatal(err)
	}
	var ref struct {
		Cases []struct {
			Template   string
			Messages   goldenMessages
			Text       *string
			TextGen    *string `json:"text_gen"`
			TextError  string  `json:"text_error"`
			GenError   string  `json:"text_gen_error"`
			Generation [][2]int
		}
	}
	if err := json.Unmarshal(b, &ref); err != nil {
		t.Fatal(err)
	}
	rendered := map[string]int{}
	for _, c := range ref.Cases {
		tmpl := template(t, c.Template)
		for _, x := range []struct {
			gen     bool
			want    *string
			refusal string
		}{{false, c.Text, c.TextError}, {true, c.TextGen, c.GenError}} {
			got, err := tmpl.render(c.Messages, x.gen)
			switch {
			case x.want == nil:
				if err == nil || !strings.Contains(err.Error(), x.refusal) {
					t.Errorf("%s: %v: error %v, want %q", c.Template, c.Messages, err, x.refusal)
				}
			case err != nil:
				t.Errorf("%s: %v: %v", c.Template, c.Messages, err)
			case got.s != *x.want:
				t.Errorf("%s: %v: rendered\n%q, want\n%q", c.Template, c.Messages, got.s, *x.want)
			default:
				rendered[c.Template]++
			}
			if !x.gen && x.want != nil && !slices.Equal(got.blocks, c.Generation) {
				t.Errorf("%s: %v: generation blocks %v, want %v", c.Template, c.Messages, got.blocks, c.Generation)
			}
		}
	}
	if len(rendered) != 6 {
		t.Errorf("templates compared: %v, expected 6", rendered)
	}
}
