package testkit

import (
	"context"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dlm"
)

// formats are what the suite asks of a completion, each with a text that fits:
// what a fake server may answer.
var formats = []struct {
	name   string
	format dlm.Format
	fits   string
}{
	{"a JSON object", dlm.Format{JSON: true}, `{"a": [1, "x"]}`},
	{"a schema", dlm.Format{Schema: json.RawMessage(`{"type":"object","properties":{"kind":{"type":"string","enum":["card","loan"]},"urgent":{"type":"boolean"}},"required":["kind","urgent"],"additionalProperties":false}`)}, `{"kind":"card","urgent":true}`},
	{"an expression", dlm.Format{Regex: `(AB|CD)-[0-9]{4}`}, "AB-4711"},
	{"choices", dlm.Format{Choices: []string{"card_lost", "card_stolen", "other"}}, "card_stolen"},
}

// FormatExample returns a text that fits one of the suite's formats, for a fake
// server to answer; "" when it is none of them.
func FormatExample(f dlm.Format) string {
	for _, c := range formats {
		if sameFormat(c.format, f) {
			return c.fits
		}
	}
	return ""
}

func sameFormat(a, b dlm.Format) bool {
	var x, y any
	if len(a.Schema) > 0 && len(b.Schema) > 0 {
		_ = json.Unmarshal(a.Schema, &x)
		_ = json.Unmarshal(b.Schema, &y)
	}
	return a.JSON == b.JSON && len(a.Schema) > 0 == (len(b.Schema) > 0) && reflect.DeepEqual(x, y) && a.Regex == b.Regex && slices.Equal(a.Choices, b.Choices)
}

// generateFormats: an answer is what it must be, and those beside it stay free.
func generateFormats(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	free := ask(prompts[1], dlm.Sampling{MaxTokens: 10})
	alone := generate(t, g, free)[0]
	for _, c := range formats {
		r := ask(prompts[1]+" Answer with "+c.name+".", dlm.Sampling{MaxTokens: 120})
		r.Format = &c.format
		if !o.can(t, g, r.Format.Param(), r) {
			continue
		}
		drawn := r
		drawn.Sampling.Temperature, drawn.Sampling.Seed = 1, 4
		shown := make([]string, 3)
		out, err := g.Generate(context.Background(), []dlm.GenerateRequest{r, free, drawn}, func(i int, tok dlm.Token) { shown[i] += tok.Text })
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		o.same(t, free, alone, out[1])
		for _, i := range []int{0, 2} {
			if shown[i] != out[i].Text {
				t.Errorf("%s: shown %q, returned %q", c.name, shown[i], out[i].Text)
			}
			checkFormat(t, c.format, out[i])
		}
	}
}

// checkFormat reads an answer as its reader would. An object of any kind may be
// longer than an answer may be; all others end.
func checkFormat(t *testing.T, f dlm.Format, c dlm.Completion) {
	t.Helper()
	if c.Finish == "length" && f.JSON {
		if !strings.HasPrefix(strings.TrimSpace(c.Text), "{") {
			t.Errorf("%q does not begin an object", c.Text)
		}
		return
	}
	var object map[string]any
	var ok bool
	switch {
	case f.JSON:
		ok = json.Unmarshal([]byte(c.Text), &object) == nil
	case len(f.Schema) > 0:
		ok = json.Unmarshal([]byte(c.Text), &object) == nil && len(object) == 2
		_, is := object["urgent"].(bool)
		ok = ok && is && (object["kind"] == "card" || object["kind"] == "loan")
	case f.Regex != "":
		ok = regexp.MustCompile(`^(?:` + f.Regex + `)$`).MatchString(c.Text)
	default:
		ok = slices.Contains(f.Choices, c.Text)
	}
	if !ok || c.Finish != "stop" {
		t.Errorf("%q (%s) is not what was asked for: %+v %s", c.Text, c.Finish, f, f.Schema)
	}
}
