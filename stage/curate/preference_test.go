package curate

import (
	"context"
	"strings"
	"testing"

	"dlm"

	"github.com/google/go-cmp/cmp"
)

// TRL's shapes of preferences, and what is read of them.
func TestReadPreferences(t *testing.T) {
	yes := true
	pair := dlm.Row{Messages: []dlm.Message{u("q"), a("a")}, TrainFrom: 1, Rejected: []dlm.Message{a("b")}}
	texts := dlm.Row{RawPrompt: "Say", RawCompletion: " yes", RawRejected: " no"}
	const q, ca, cb = `{"role":"user","content":"q"}`, `{"role":"assistant","content":"a"}`, `{"role":"assistant","content":"b"}`
	for _, c := range []struct {
		name, text string
		format     Format
		want       dlm.Row
	}{
		{"conversational", `{"prompt":[` + q + `],"chosen":[` + ca + `],"rejected":[` + cb + `]}`, Preference, pair},
		{"implicit prompt", `{"chosen":[` + q + `,` + ca + `],"rejected":[` + q + `,` + cb + `]}`, Preference, pair},
		{"a prompt in text beside whole conversations", `{"prompt":"q","chosen":[` + q + `,` + ca + `],"rejected":[` + q + `,` + cb + `],"score_chosen":9}`, Preference, pair},
		{"equal conversations", `{"chosen":[` + q + `,` + ca + `],"rejected":[` + q + `,` + ca + `]}`, Preference, dlm.Row{Messages: pair.Messages, TrainFrom: 1, Rejected: []dlm.Message{a("a")}}},
		{"text", `{"prompt":"Say","chosen":" yes","rejected":" no"}`, Preference, texts},
		{"text with implicit prompt", `{"chosen":"Say yes","rejected":"Say no"}`, Preference, texts},
		{"text that begins alike in a word", `{"chosen":"Say none","rejected":"Say no"}`, Preference, dlm.Row{RawPrompt: "Say", RawCompletion: " none", RawRejected: " no"}},
		{"labelled", `{"prompt":[` + q + `],"completion":[` + ca + `],"label":true}`, Labelled, dlm.Row{Messages: []dlm.Message{u("q"), a("a")}, TrainFrom: 1, Label: &yes}},
		{"labelled text", `{"prompt":"q","completion":"a","label":true}`, Labelled, dlm.Row{RawPrompt: "q", RawCompletion: "a", Label: &yes}},
		{"a label that is a category", `{"prompt":"q","label":"refund"}`, Pairs, dlm.Row{Messages: []dlm.Message{u("q"), a("refund")}}},
		{"prompt", `{"prompt":[` + q + `]}`, PromptOnly, dlm.Row{Messages: []dlm.Message{u("q")}, TrainFrom: 1}},
		{"prompt as text", `{"id":"x","prompt":"q"}`, PromptOnly, dlm.Row{RawPrompt: "q"}},
	} {
		p := write(t, "x.jsonl", c.text)
		rows, err := Read(p, Options{})
		if err != nil || len(rows) != 1 {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if d, err := Detect(p); err != nil || d.Format != c.format {
			t.Errorf("%s: detected %s, %v", c.name, d, err)
		}
		rows[0].File, rows[0].Line, rows[0].ID = "", 0, ""
		if d := cmp.Diff(c.want, rows[0]); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
	// The project's system message stands before both answers.
	rows, err := Read(write(t, "x.jsonl", `{"prompt":[`+q+`],"chosen":[`+ca+`],"rejected":[`+cb+`]}`), Options{System: "s"})
	if err != nil || rows[0].TrainFrom != 2 || rows[0].Sides()[1].Row.Messages[0] != sys("s") {
		t.Errorf("system: %+v, %v", rows, err)
	}
}

func TestCheckPreferences(t *testing.T) {
	yes, no := true, false
	pair := func(line int, q, chosen, rejected string) dlm.Row {
		r := row(line, u(q), a(chosen))
		r.TrainFrom, r.Rejected = 1, []dlm.Message{a(rejected)}
		return r
	}
	label := func(line int, q, answer string, l *bool) dlm.Row {
		r := row(line, u(q), a(answer))
		r.TrainFrom, r.Label = 1, l
		return r
	}
	prompt := func(line int, q string) dlm.Row { r := row(line, u(q)); r.TrainFrom = 1; return r }
	ok := pair(1, "Where is my card?", "On its way.", "Who knows.")
	for _, c := range []struct {
		name   string
		rows   []dlm.Row
		golden []dlm.Item
		opts   CheckOptions
		want   string
	}{
		{name: "nothing wrong", rows: []dlm.Row{ok, pair(2, "Other?", "Yes.", "No.")}, opts: CheckOptions{Method: "dpo"}},
		{name: "several pairs of a prompt", rows: []dlm.Row{ok, pair(2, "Where is my card?", "On its way.", "Lost.")}},
		{name: "the same pair", rows: []dlm.Row{ok, pair(2, "where is my card", "On its way.", "Who knows.")}, want: KindDuplicate},
		{name: "the pair the other way round", rows: []dlm.Row{ok, pair(2, "Where is my card?", "Who knows.", "On its way.")}, want: KindContradicts},
		{name: "equal answers", rows: []dlm.Row{ok, pair(2, "Other?", "Yes.", "Yes. ")}, want: KindSameAnswers},
		{name: "empty rejected", rows: []dlm.Row{ok, pair(2, "Other?", "Yes.", " ")}, want: KindEmpty},
		{name: "rejected cut", rows: []dlm.Row{ok, pair(2, "Other?", "Yes.", "A long answer that goes on and on and on and on.")}, opts: CheckOptions{MaxLen: 60}, want: KindTruncated},
		{name: "golden prompt", rows: []dlm.Row{ok, pair(2, "Who are you?", "I.", "You.")}, golden: []dlm.Item{goldenItem("g", "who are you")}, want: KindGolden},
		{name: "pairs for sft", rows: []dlm.Row{ok}, opts: CheckOptions{Method: "sft"}, want: KindMethod},
		{name: "answers for dpo", rows: []dlm.Row{row(1, u("q"), a("x"))}, opts: CheckOptions{Method: "dpo"}, want: KindMethod},
		{name: "text pairs whose prompt is cut by the answers", rows: []dlm.Row{{ID: "x", File: "f", Line: 1, RawPrompt: "q ", RawCompletion: "", RawRejected: "x"}}, want: KindEmpty},
		{name: "labels", rows: []dlm.Row{label(1, "q", "x", &yes), label(2, "q", "y", &no)}, opts: CheckOptions{Method: "kto"}},
		{name: "one label", rows: []dlm.Row{label(1, "q", "x", &yes), label(2, "r", "y", &yes)}, want: KindOneLabel},
		{name: "liked and disliked", rows: []dlm.Row{label(1, "q", "x", &yes), label(2, "q", "x", &no)}, want: KindContradicts},
		{name: "liked twice", rows: []dlm.Row{label(1, "q", "x", &yes), label(2, "q", "x", &yes), label(3, "q", "y", &no)}, want: KindDuplicate},
		{name: "prompts", rows: []dlm.Row{prompt(1, "q"), prompt(2, "r")}},
		{name: "prompts and answers for grpo", rows: []dlm.Row{prompt(1, "q"), row(2, u("r"), a("x"))}, opts: CheckOptions{Method: "grpo"}},
		{name: "prompts for sft", rows: []dlm.Row{prompt(1, "q")}, opts: CheckOptions{Method: "sft"}, want: KindMethod},
	} {
		res, err := Check(context.Background(), c.rows, fakeEncoder{}, c.golden, c.opts)
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, f := range res.Findings {
			kinds = append(kinds, f.Kind)
			if f.Remedy == "" || strings.HasPrefix(f.Problem, "1 rows") {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if got := strings.Join(kinds, " "); got != c.want {
			t.Errorf("%s: found %q, want %q: %v", c.name, got, c.want, res.Err())
		}
	}
}

// An encoder that joins the end of the prompt with the beginning of the answer,
// as byte pairs can.
type joining struct{ fakeEncoder }

func (j joining) Encode(r dlm.Row, maxLen int) (dlm.Encoded, error) {
	e, err := j.fakeEncoder.Encode(r, maxLen)
	if strings.HasPrefix(r.RawCompletion, "y") {
		e.IDs[len([]rune(r.RawPrompt))-1]++
	}
	return e, err
}

func TestCheckPromptSplit(t *testing.T) {
	res, err := Check(context.Background(), []dlm.Row{{ID: "x", File: "f", Line: 1, RawPrompt: "Say ", RawCompletion: "yes", RawRejected: "no"}}, joining{}, nil, CheckOptions{})
	if err != nil || len(res.Findings) != 1 || res.Findings[0].Kind != KindPromptSplit || !res.Refused() {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestPreviewPair(t *testing.T) {
	r := row(1, u("q"), a("yes"))
	r.TrainFrom, r.Rejected = 1, []dlm.Message{a("no")}
	var b strings.Builder
	if err := PreviewRow(&b, fakeEncoder{}, r, 0, Style{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"chosen: f.jsonl:1", "[[yes<|im_end|>]]", "rejected: f.jsonl:1", "[[no<|im_end|>]]"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
}
