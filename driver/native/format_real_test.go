package native

import (
	"context"
	"encoding/json"
	"regexp"
	"testing"
	"time"

	"dlm"
)

// TestRealModelFillsASchema: a model that is asked in words answers in the
// schema's form, greedily and drawn, and with guesses as without.
func TestRealModelFillsASchema(t *testing.T) {
	const schema = `{"type":"object","properties":{"name":{"type":"string","maxLength":40},"age":{"type":"integer","minimum":0,"maximum":130},` +
		`"mood":{"enum":["happy","sad","angry"]},"born":{"type":"string","format":"date"},"hobbies":{"type":"array","items":{"type":"string","maxLength":20},"minItems":1,"maxItems":3}},` +
		`"required":["name","age","mood","born","hobbies"],"additionalProperties":false}`
	ask := func(text string, f *dlm.Format, s dlm.Sampling) dlm.GenerateRequest {
		return dlm.GenerateRequest{Messages: []dlm.Message{{Role: "user", Content: text}}, Format: f, Sampling: s}
	}
	story := "Ada is a happy woman of 36 years who was born on the 10th of December 1815. She likes chess and music. Describe her in JSON: name, age, mood, born, hobbies."
	draw := func(seed uint64) dlm.Sampling { return dlm.Sampling{MaxTokens: 200, Temperature: 1, Seed: seed} }
	reqs := []dlm.GenerateRequest{
		ask(story, &dlm.Format{Schema: json.RawMessage(schema)}, dlm.Sampling{MaxTokens: 200}),
		ask(story, &dlm.Format{Schema: json.RawMessage(schema)}, draw(1)),
		ask(story, &dlm.Format{Schema: json.RawMessage(schema)}, draw(2)),
		ask(story, nil, dlm.Sampling{MaxTokens: 40}),
		ask("Is the sea salty?", &dlm.Format{Choices: []string{"yes", "no"}}, dlm.Sampling{MaxTokens: 20}),
		ask("Invent a part number.", &dlm.Format{Regex: `[A-Z]{2}-[0-9]{4}`}, draw(3)),
	}
	var texts []string
	for _, draft := range []int{0, 8} {
		n := realModel(t, Options{Draft: draft})
		for again := range 2 {
			start := time.Now()
			out, err := n.Generate(context.Background(), reqs, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(draft, again, time.Since(start))
			for i, c := range out {
				if draft == 0 && again == 0 {
					t.Logf("%s %s", c.Finish, c.Text)
					texts = append(texts, c.Text)
				}
				if c.Text != texts[i] {
					t.Errorf("request %d with draft %d: %q, without %q", i, draft, c.Text, texts[i])
				}
			}
			for _, c := range out[:3] {
				var v struct {
					Name, Mood, Born string
					Age              int
					Hobbies          []string
				}
				if err := json.Unmarshal([]byte(c.Text), &v); err != nil || c.Finish != "stop" || v.Age < 0 || v.Age > 130 || len(v.Hobbies) < 1 || len(v.Hobbies) > 3 {
					t.Errorf("%s %q: %v", c.Finish, c.Text, err)
				}
				if _, err := time.Parse(time.DateOnly, v.Born); err != nil {
					t.Error(err)
				}
			}
			if c := out[4]; c.Text != "yes" && c.Text != "no" {
				t.Errorf("%q", c.Text)
			}
			if c := out[5]; !regexp.MustCompile(`^[A-Z]{2}-[0-9]{4}$`).MatchString(c.Text) {
				t.Errorf("%q", c.Text)
			}
		}
	}
}
