package evals

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm"
)

func scorer(t *testing.T, spec ScorerSpec) Scorer {
	t.Helper()
	s, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const none = -1 // unscored

func TestTextScorers(t *testing.T) {
	cases := []struct {
		spec               ScorerSpec
		target, completion string
		want               float64
	}{
		{ScorerSpec{Name: "exact"}, "Paris", " Paris\n", 1},
		{ScorerSpec{Name: "exact"}, "Paris", "paris", 0},
		{ScorerSpec{Name: "exact"}, "caf\u00e9", "cafe\u0301", 1}, // NFC
		{ScorerSpec{Name: "exact"}, "Paris", "", 0},
		{ScorerSpec{Name: "exact"}, " ", "x", none},
		{ScorerSpec{Name: "exact", IgnoreCase: true}, "Paris", "pARIS", 1},
		{ScorerSpec{Name: "exact", IgnorePunctuation: true}, "It's 5 pm.", "It s 5 pm", 1},
		{ScorerSpec{Name: "contains"}, "42", "The answer is 42.", 1},
		{ScorerSpec{Name: "contains"}, "42", "The answer is 24.", 0},
		{ScorerSpec{Name: "contains"}, "", "anything", none},
		{ScorerSpec{Name: "contains", IgnorePunctuation: true}, "cat", "concatenate", 0},
		{ScorerSpec{Name: "contains", IgnorePunctuation: true, IgnoreCase: true}, "The Cat!", "so the cat sat", 1},
		{ScorerSpec{Name: "regex", Pattern: `^\d{4}$`}, "", "2024", 1},
		{ScorerSpec{Name: "regex", Pattern: `^\d{4}$`}, "", "in 2024", 0},
		{ScorerSpec{Name: "regex", Pattern: `answer: (\w+)`}, "B", "My answer: B", 1},
		{ScorerSpec{Name: "regex", Pattern: `answer: (\w+)`}, "B", "My answer: C", 0},
		{ScorerSpec{Name: "regex", Pattern: `answer: (\w+)`}, "B", "no idea", 0},
		{ScorerSpec{Name: "regex", Pattern: `answer: (\w+)`, IgnoreCase: true}, "b", "ANSWER: B", 1},
		{ScorerSpec{Name: "regex"}, `^(yes|yep)`, "yep, sure", 1},
		{ScorerSpec{Name: "regex"}, `(`, "anything", none},
		{ScorerSpec{Name: "rouge-l"}, "", "x", none},
		{ScorerSpec{Name: "rouge-l"}, "x", "", 0},
		{ScorerSpec{Name: "rouge-l"}, "über größe", "Über die Größe", 0.8}, // own letters count, unlike in rouge-score
		{ScorerSpec{Name: "numeric"}, "1200", "The total is $1,200.00.", 1},
		{ScorerSpec{Name: "numeric"}, "1,234,567.5", "1'234'567.5", 1},
		{ScorerSpec{Name: "numeric"}, "12 km", "about 12 miles", 1},
		{ScorerSpec{Name: "numeric"}, "12", "12%", 1},
		{ScorerSpec{Name: "numeric"}, "-5", "-$5", 1},
		{ScorerSpec{Name: "numeric"}, "-5", "minus: −5 °C", 1},
		{ScorerSpec{Name: "numeric"}, "5", "-5", 0},
		{ScorerSpec{Name: "numeric"}, "5", "between 3-5", 1}, // a joining hyphen is no sign
		{ScorerSpec{Name: "numeric"}, "0.5", ".5", 1},
		{ScorerSpec{Name: "numeric"}, "1.5e3", "1500", 1},
		{ScorerSpec{Name: "numeric"}, "42", "First 7, then 42", 1},
		{ScorerSpec{Name: "numeric"}, "7", "First 7, then 42", 0},
		{ScorerSpec{Name: "numeric"}, "4", "see form A4", 0},
		{ScorerSpec{Name: "numeric"}, "0.3", "0.30000000000000004", 1},
		{ScorerSpec{Name: "numeric"}, "3", "none", 0},
		{ScorerSpec{Name: "numeric"}, "many", "3", none},
		{ScorerSpec{Name: "numeric", Tolerance: 0.5}, "10", "10.4", 1},
		{ScorerSpec{Name: "numeric", Tolerance: 0.5}, "10", "10.6", 0},
		{ScorerSpec{Name: "numeric", RelativeTolerance: 0.01}, "1000", "1009", 1},
		{ScorerSpec{Name: "numeric", RelativeTolerance: 0.01}, "1000", "1011", 0},
		{ScorerSpec{Name: "numeric", DecimalComma: true}, "1234,5", "1.234,50 EUR", 1},
		{ScorerSpec{Name: "numeric"}, "3", "1e999", 0},
		{ScorerSpec{Name: "json-schema", Schema: `{"type":"object","required":["a"],"properties":{"a":{"type":"integer"}}}`}, "", `{"a": 1}`, 1},
		{ScorerSpec{Name: "json-schema", Schema: `{"type":"object","required":["a"],"properties":{"a":{"type":"integer"}}}`}, "", `{"a": "1"}`, 0},
		{ScorerSpec{Name: "json-schema", Schema: `{"type":"object"}`}, "", `not JSON`, 0},
		{ScorerSpec{Name: "json-schema", Schema: `{"type":"object"}`}, "", "Here: ```json\n{\"a\":1}\n```", 0},
		{ScorerSpec{Name: "json-schema", Schema: `{"type":"object"}`, Extract: true}, "", "Here: ```json\n{\"a\":1}\n```", 1},
		{ScorerSpec{Name: "json-schema", Schema: `{"properties":{"d":{"format":"date"}}}`}, "", `{"d":"2024-02-30"}`, 0},
	}
	for _, c := range cases {
		s := scorer(t, c.spec)
		got := s.Score(dlm.Item{Target: c.target}, c.completion)[s.Metrics()[0]]
		switch {
		case c.want == none && !got.Unscored:
			t.Errorf("%+v, target %q, completion %q: %+v, want unscored", c.spec, c.target, c.completion, got)
		case c.want != none && (got.Unscored || math.Abs(got.Value-c.want) > 1e-12):
			t.Errorf("%+v, target %q, completion %q: %+v, want %v", c.spec, c.target, c.completion, got, c.want)
		case c.want != 1 && got.Value == 0 && got.Why == "":
			t.Errorf("%+v, target %q, completion %q: no reason", c.spec, c.target, c.completion)
		}
	}
}

func TestJSONScorer(t *testing.T) {
	s := scorer(t, ScorerSpec{Name: "json", Fields: []string{"intent"}})
	const want = `{"intent": "pay", "name": "Ann Lee", "amount": 12.50, "car": {"make": "vw", "doors": 4}}`
	cases := []struct {
		name, target, completion string
		record, intent, valid    float64
		tp, fp, fn               float64
	}{
		{"equal, other order and spelling of numbers", want, `{"car":{"doors":4.0,"make":"vw"},"amount":1.25e1,"name":"Ann Lee","intent":"pay"}`, 1, 1, 1, 4, 0, 0},
		{"wrong intent", want, strings.Replace(want, "pay", "ask", 1), 0, 0, 1, 4, 0, 0},
		{"one slot wrong", want, strings.Replace(want, "Ann Lee", "Ann", 1), 0, 1, 1, 3, 1, 1},
		{"slot missing", want, `{"intent":"pay","name":"Ann Lee","amount":12.5}`, 0, 1, 1, 2, 0, 2},
		{"slot too many", want, strings.Replace(want, `"amount"`, `"x": null, "amount"`, 1), 0, 1, 1, 4, 1, 0},
		{"text for a number", want, strings.Replace(want, "12.50", `"12.50"`, 1), 0, 1, 1, 3, 1, 1},
		{"prose", want, `Sure! Here is the record: ` + want, 0, 0, 0, 0, 0, 4},
		{"cut off", want, want[:30], 0, 0, 0, 0, 0, 4},
		{"empty", want, "", 0, 0, 0, 0, 0, 4},
		{"a list", want, `["pay"]`, 0, 0, 0, 0, 0, 4},
		{"text behind", want, want + " Thanks!", 0, 0, 0, 0, 0, 4},
		{"no slots wanted or given", `{"intent":"hi"}`, `{"intent":"hi"}`, 1, 1, 1, 0, 0, 0},
		{"no intent in either", `{"name":"x"}`, `{"name":"x"}`, 1, 1, 1, 1, 0, 0},
		{"field only wanted", `{"intent":"hi"}`, `{}`, 0, 0, 1, 0, 0, 0},
		{"list elements", `{"intent":"a","l":["x","y"]}`, `{"intent":"a","l":["x","z","w"]}`, 0, 1, 1, 1, 2, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := s.Score(dlm.Item{Target: c.target}, c.completion)
			if len(got) != len(s.Metrics()) {
				t.Fatalf("%d scores for %v", len(got), s.Metrics())
			}
			for name, v := range map[string]float64{"record": c.record, "field:intent": c.intent, "valid": c.valid} {
				if got[name].Value != v || got[name].Unscored {
					t.Errorf("%s: %+v, want %v", name, got[name], v)
				}
				if v == 0 && got[name].Why == "" {
					t.Errorf("%s: no reason", name)
				}
			}
			for name, parts := range map[string][2]float64{
				"slot_precision": {c.tp, c.tp + c.fp}, "slot_recall": {c.tp, c.tp + c.fn}, "slot_f1": {2 * c.tp, 2*c.tp + c.fp + c.fn},
			} {
				if sc := got[name]; !sc.Ratio || sc.Num != parts[0] || sc.Den != parts[1] {
					t.Errorf("%s: %+v, want %v", name, sc, parts)
				}
			}
		})
	}
	for name, sc := range s.Score(dlm.Item{Target: "not a record"}, want) {
		if !sc.Unscored {
			t.Errorf("unusable target: %s is %+v, want unscored", name, sc)
		}
	}
	why := s.Score(dlm.Item{Target: want}, `{"intent":"ask","name":"Ann Lee","amount":12.5,"colour":"red"}`)["record"].Why
	for _, part := range []string{`intent is "ask", want "pay"`, `colour is "red", want none`, `car.make is missing, want "vw"`} {
		if !strings.Contains(why, part) {
			t.Errorf("reason %q lacks %q", why, part)
		}
	}
	loose := scorer(t, ScorerSpec{Name: "json", Extract: true})
	if got := loose.Score(dlm.Item{Target: want}, "Here {it} is:\n```json\n"+want+"\n```")["record"]; got.Value != 1 {
		t.Errorf("extract: %+v", got)
	}
}

func TestChoice(t *testing.T) {
	item := dlm.Item{Target: "Berlin", Choices: []string{"Paris", "Berlin", "the city of Rome"}}
	sums := func(v ...float64) (out []dlm.Scored) {
		for i, x := range v {
			out = append(out, dlm.Scored{Sum: x, Tokens: make([]dlm.Token, 1+2*(i/2))}) // 1, 1, 3 tokens
		}
		return out
	}
	cases := []struct {
		normalise string
		sums      []dlm.Scored
		chosen    string
	}{
		{"", sums(-3, -2, -4), "Berlin"},
		{"", sums(-2, -2, -2), "Paris"}, // the earlier of equals
		{"tokens", sums(-3, -2, -4), "the city of Rome"},
		{"bytes", sums(-3, -2, -4), "the city of Rome"},
	}
	for _, c := range cases {
		s := scorer(t, ScorerSpec{Name: "choice", Normalise: c.normalise}).(LikelihoodScorer)
		scores, chosen := s.Choose(item, c.sums)
		if want := map[bool]float64{true: 1}[c.chosen == "Berlin"]; chosen != c.chosen || scores["choice"].Value != want {
			t.Errorf("%q: chose %q, score %+v; want %q", c.normalise, chosen, scores, c.chosen)
		}
	}
	s := scorer(t, ScorerSpec{Name: "choice"}).(LikelihoodScorer)
	if sc, _ := s.Choose(dlm.Item{Target: "x"}, nil); !sc["choice"].Unscored {
		t.Error("an item without choices is not unscored")
	}
	if sc, _ := s.Choose(item, sums(math.NaN(), -2, -3)); !sc["choice"].Unscored {
		t.Error("a log-probability that is no number is not unscored")
	}
}

func TestScorerSpecs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.json")
	if err := os.WriteFile(path, []byte(`{"type":"object"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(ScorerSpec{Name: "json-schema", Schema: path}); err != nil {
		t.Errorf("schema from a file: %v", err)
	}
	for _, c := range []struct {
		specs []ScorerSpec
		want  string
	}{
		{nil, "no scorers"},
		{[]ScorerSpec{{Name: "exakt"}}, `scorer "exakt": unknown; expected one of choice, contains, exact`},
		{[]ScorerSpec{{Name: "exact", Pattern: "x"}}, `scorer "exact" has no option "pattern"; it has metric, ignore_case`},
		{[]ScorerSpec{{Name: "regex", Pattern: "("}}, "option pattern"},
		{[]ScorerSpec{{Name: "json", Fields: []string{"a", "a"}}}, "stands twice"},
		{[]ScorerSpec{{Name: "json-schema"}}, "option schema: missing"},
		{[]ScorerSpec{{Name: "json-schema", Schema: "/nonexistent.json"}}, "/nonexistent.json"},
		{[]ScorerSpec{{Name: "json-schema", Schema: `{"type":7}`}}, "option schema"},
		{[]ScorerSpec{{Name: "json-schema", Schema: `{"$ref":"file:///etc/passwd"}`}}, "may only refer to itself"},
		{[]ScorerSpec{{Name: "numeric", Tolerance: -1}}, "negative"},
		{[]ScorerSpec{{Name: "choice", Normalise: "words"}}, "normalise"},
		{[]ScorerSpec{{Name: "exact"}, {Name: "exact"}}, `metric "exact" already comes from scorer "exact"; rename`},
	} {
		if _, err := NewAll(c.specs); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %q", c.specs, err, c.want)
		}
	}
	if _, err := NewAll([]ScorerSpec{{Name: "exact"}, {Name: "exact", Metric: "loose", IgnoreCase: true}}); err != nil {
		t.Error(err)
	}
}

// FuzzScorers: no completion, however strange, makes a scorer panic, leave 0 to
// 1, or call itself unable to judge.
func FuzzScorers(f *testing.F) {
	f.Add(`{"intent":"a","n":1e9999,"l":[[[]]]}`)
	f.Add("−1.234,5 € 1e400 {{{ \x00\xff")
	f.Add(`{"a":{"b":[1,{"c":null}]}}`)
	all, err := NewAll([]ScorerSpec{
		{Name: "exact", IgnorePunctuation: true}, {Name: "contains"}, {Name: "regex", Pattern: `(\d+)`},
		{Name: "json", Fields: []string{"intent"}, Extract: true}, {Name: "numeric"}, {Name: "rouge-l"},
		{Name: "json-schema", Schema: `{"type":"object","additionalProperties":{"type":"string"}}`},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, completion string) {
		for _, s := range all {
			for name, sc := range s.Score(dlm.Item{Target: `{"intent":"a","n":3}`}, completion) {
				if sc.Unscored || !(sc.Value >= 0 && sc.Value <= 1) {
					t.Fatalf("%s: %+v", name, sc)
				}
			}
		}
		diffText(completion, `{"intent":"a","n":3}`)
	})
}
