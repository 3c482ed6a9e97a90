package trl

import (
	"encoding/json"
	"strings"
	"testing"

	"dlm"
)

// letters encodes by bytes: '<' begins a turn, '>' ends one, and a line end
// follows, which counts nowhere.
type letters struct{ dlm.Codec }

func (letters) Encode(r dlm.Row, maxLen int) (dlm.Encoded, error) {
	e := dlm.Encoded{EndOfTurn: '>'}
	add := func(s string, trained bool) {
		for _, c := range []byte(s) {
			e.IDs, e.Mask = append(e.IDs, int32(c)), append(e.Mask, trained)
		}
	}
	for i, m := range r.Messages {
		trained := m.Role == "assistant" && i >= r.TrainFrom
		add("<"+m.Role[:1], false)
		add(m.Content+">", trained)
		add("\n", false)
	}
	if len(r.Messages) == 0 {
		add(r.RawPrompt, false)
		if r.RawPrompt == "" {
			e.Mask = []bool{false}
			add(r.RawCompletion[1:]+">", true)
			e.IDs = append([]int32{int32(r.RawCompletion[0])}, e.IDs...)
		} else {
			add(r.RawCompletion+">", true)
		}
	}
	if maxLen > 0 && len(e.IDs) > maxLen {
		for _, m := range e.Mask[maxLen:] {
			e.Truncated = e.Truncated || m
		}
		e.IDs, e.Mask = e.IDs[:maxLen], e.Mask[:maxLen]
	}
	// As byte pairs can: an answer that begins with "+" changes the end of a plain prompt.
	if strings.HasPrefix(r.RawCompletion, "+") {
		e.IDs[len(r.RawPrompt)-1] = '#'
	}
	return e, nil
}

func (letters) Prompt(msgs []dlm.Message, raw string) ([]int32, error) {
	e, err := letters{}.Encode(dlm.Row{Messages: msgs, RawPrompt: raw}, 0)
	if len(msgs) == 0 {
		return e.IDs[:len(raw)], err
	}
	return append(e.IDs, '<', 'a'), err
}

func lettersTRL() *TRL { return &TRL{o: Options{Encoder: letters{}}} }

func user(s string) dlm.Message      { return dlm.Message{Role: "user", Content: s} }
func assistant(s string) dlm.Message { return dlm.Message{Role: "assistant", Content: s} }

func pairOf(q, chosen, rejected string) dlm.Row {
	return dlm.Row{ID: "p", Messages: []dlm.Message{user(q), assistant(chosen)}, TrainFrom: 1, Rejected: []dlm.Message{assistant(rejected)}}
}

// The line of each method, as text instead of ids.
func TestRowsOfMethods(t *testing.T) {
	no := false
	labelled := dlm.Row{ID: "l", Messages: []dlm.Message{user("q"), assistant("x")}, TrainFrom: 1, Label: &no}
	for _, c := range []struct {
		method string
		row    dlm.Row
		want   map[string]string
	}{
		{"sft", dlm.Row{ID: "s", Messages: []dlm.Message{user("q"), assistant("x")}}, map[string]string{"ids": "<uq>\n<ax>\n", "mask": "0000000110"}},
		{"cpt", dlm.Row{ID: "t", RawCompletion: "text"}, map[string]string{"ids": "text>", "mask": "01111"}},
		{"dpo", pairOf("q", "yes", "no"), map[string]string{"prompt_ids": "<uq>\n<a", "chosen_ids": "yes>", "rejected_ids": "no>"}},
		{"orpo", dlm.Row{ID: "o", RawPrompt: "q", RawCompletion: "y", RawRejected: "n"}, map[string]string{"prompt_ids": "q", "chosen_ids": "y>", "rejected_ids": "n>"}},
		{"kto", labelled, map[string]string{"prompt_ids": "<uq>\n<a", "completion_ids": "x>"}},
		{"grpo", dlm.Row{ID: "g", Messages: []dlm.Message{user("q"), assistant("target")}}, map[string]string{"prompt_ids": "<uq>\n<a"}},
		{"grpo", dlm.Row{ID: "g", Messages: []dlm.Message{user("q")}, TrainFrom: 1}, map[string]string{"prompt_ids": "<uq>\n<a"}},
		{"grpo", dlm.Row{ID: "g", RawPrompt: "q"}, map[string]string{"prompt_ids": "q"}},
	} {
		r, err := checkMethod(dlm.Recipe{Method: c.method, BatchSize: 2})
		if err != nil {
			t.Fatal(err)
		}
		e, err := lettersTRL().encode("training", []dlm.Row{c.row}, r)
		if err != nil {
			t.Errorf("%s: %v", c.method, err)
			continue
		}
		raw, err := json.Marshal(e.lines[0])
		if err != nil {
			t.Fatal(err)
		}
		var line map[string]any
		if err := json.Unmarshal(raw, &line); err != nil {
			t.Fatal(err)
		}
		for field, want := range c.want {
			var got strings.Builder
			for _, x := range line[field].([]any) {
				if n := byte(x.(float64)); n < 2 {
					got.WriteByte('0' + n)
				} else {
					got.WriteByte(n)
				}
			}
			if got.String() != want {
				t.Errorf("%s: %s is %q, want %q", c.method, field, got.String(), want)
			}
		}
		if e.endOfTurn != '>' || len(e.tokens) != 1 || e.tokens[0] < e.longest[0] || line["id"] == "" {
			t.Errorf("%s: %+v", c.method, e)
		}
		if got := checks([]dlm.Row{c.row}, e, c.method); len(got) != 1 || got[0].Row != 0 {
			t.Errorf("%s: checks %+v", c.method, got)
		}
	}
	e, _ := lettersTRL().encode("training", []dlm.Row{labelled}, dlm.Recipe{Method: "kto"})
	if line := e.lines[0].(labelledRow); line.Label {
		t.Error("the label was lost")
	}
}

func TestRowsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		method string
		rows   []dlm.Row
		maxLen int
		says   string
	}{
		{"answers for dpo", "dpo", []dlm.Row{{Messages: []dlm.Message{user("q"), assistant("x")}, File: "f.jsonl", Line: 2}}, 0, "f.jsonl:2"},
		{"pairs for sft", "sft", []dlm.Row{pairOf("q", "y", "n")}, 0, "train it with method dpo or orpo"},
		{"rejected cut", "dpo", []dlm.Row{pairOf("q", "y", "a long answer that does not fit")}, 20, "max_len"},
		{"prompt changed by an answer", "dpo", []dlm.Row{{RawPrompt: "q", RawCompletion: "+y", RawRejected: "n"}}, 0, "change the tokens of their prompt"},
		{"answer in two parts", "dpo", []dlm.Row{{Messages: []dlm.Message{user("q"), assistant("x"), user("r"), assistant("y")}, TrainFrom: 1, Rejected: []dlm.Message{assistant("n")}}}, 0, "several parts"},
		{"prompt too long", "grpo", []dlm.Row{{Messages: []dlm.Message{user(strings.Repeat("q", 90))}, TrainFrom: 1}}, 100, "max_tokens 256"},
	} {
		r, err := checkMethod(dlm.Recipe{Method: c.method, BatchSize: 2, MaxLen: c.maxLen})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lettersTRL().encode("training", c.rows, r); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want it to say %q", c.name, err, c.says)
		}
	}
}

// Rows that were cut are not compared with TRL's.
func TestChecksLeaveOutCutRows(t *testing.T) {
	rows := []dlm.Row{{ID: "a", Messages: []dlm.Message{user("q"), assistant("a long answer")}}, {ID: "b", Messages: []dlm.Message{user("q"), assistant("x")}}}
	e, err := lettersTRL().encode("training", rows, dlm.Recipe{Method: "sft", MaxLen: 14, Truncate: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := checks(rows, e, "sft"); len(got) != 1 || got[0].Row != 1 {
		t.Errorf("%+v", got)
	}
}

func TestCheckMethod(t *testing.T) {
	for _, c := range []struct {
		name string
		r    dlm.Recipe
		says string
	}{
		{"kto with one row a step", dlm.Recipe{Method: "kto", BatchSize: 1}, "batch_size"},
		{"kto with one row a pass", dlm.Recipe{Method: "kto", BatchSize: 4, MicroBatch: 1}, "micro_batch"},
		{"a group of one", dlm.Recipe{Method: "grpo", Group: 1}, "group"},
		{"grpo stops early", dlm.Recipe{Method: "grpo", EarlyStopping: dlm.EarlyStopping{Patience: 1}}, "early_stopping"},
		{"grpo with stop texts", dlm.Recipe{Method: "grpo", Rollouts: dlm.Sampling{Stop: []string{"x"}}}, "rollouts.stop"},
		{"negative beta", dlm.Recipe{Method: "dpo", Beta: -1}, "beta"},
	} {
		if _, err := checkMethod(c.r); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "expected") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	r, err := checkMethod(dlm.Recipe{Method: "grpo"})
	if err != nil || r.Group != defaultGroup || r.Rollouts.Temperature != 1 || r.Rollouts.MaxTokens != defaultTokens || r.Beta != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := checkMethod(dlm.Recipe{Method: "dpo"}); err != nil || r.Beta != defaultBeta {
		t.Errorf("%+v, %v", r, err)
	}
}
