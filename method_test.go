package dlm_test

import (
	"strings"
	"testing"

	"dlm"
)

func TestRowKinds(t *testing.T) {
	q, a := dlm.Message{Role: "user", Content: "q"}, dlm.Message{Role: "assistant", Content: "a"}
	b := dlm.Message{Role: "assistant", Content: "b"}
	yes := true
	chat := []dlm.Message{q, a}
	for _, c := range []struct {
		name string
		row  dlm.Row
		kind dlm.RowKind
		fits string
	}{
		{"messages", dlm.Row{Messages: chat}, dlm.RowAnswer, "sft grpo"},
		{"no turn of weight 1", dlm.Row{Messages: chat, TrainFrom: 2}, dlm.RowAnswer, "sft grpo"},
		{"prompt and completion", dlm.Row{RawPrompt: "q", RawCompletion: "a"}, dlm.RowAnswer, "sft grpo"},
		{"text", dlm.Row{RawCompletion: "a"}, dlm.RowText, "sft cpt"},
		{"pair", dlm.Row{Messages: chat, TrainFrom: 1, Rejected: []dlm.Message{b}}, dlm.RowPair, "dpo orpo"},
		{"pair of texts", dlm.Row{RawPrompt: "q", RawCompletion: "a", RawRejected: "b"}, dlm.RowPair, "dpo orpo"},
		{"labelled", dlm.Row{Messages: chat, TrainFrom: 1, Label: &yes}, dlm.RowLabelled, "kto"},
		{"prompt", dlm.Row{Messages: []dlm.Message{q}, TrainFrom: 1}, dlm.RowPrompt, "grpo"},
		{"prompt as text", dlm.Row{RawPrompt: "q"}, dlm.RowPrompt, "grpo"},
	} {
		if got := c.row.Kind(); got != c.kind {
			t.Errorf("%s: kind %s, want %s", c.name, got, c.kind)
		}
		var fits []string
		for _, m := range dlm.Methods {
			err := c.row.FitsMethod(m)
			if err == nil {
				fits = append(fits, m)
			} else if !strings.Contains(err.Error(), "train it with method") {
				t.Errorf("%s with %s: no next step: %v", c.name, m, err)
			}
		}
		if got := strings.Join(fits, " "); got != c.fits {
			t.Errorf("%s fits %s, want %s", c.name, got, c.fits)
		}
	}
	sides := dlm.Row{Messages: chat, TrainFrom: 1, Rejected: []dlm.Message{b}}.Sides()
	if len(sides) != 2 || sides[0].Row.Completion() != "a" || sides[1].Row.Completion() != "b" || sides[1].Row.Messages[0] != q || sides[1].Row.Kind() != dlm.RowAnswer {
		t.Errorf("sides: %+v", sides)
	}
	if err := (dlm.Row{}).FitsMethod("ppo"); err == nil {
		t.Error("method ppo is taken")
	}
	if err := dlm.CheckMethodRows("dpo", "training", []dlm.Row{{RawCompletion: "a", File: "x.jsonl", Line: 3}}); err == nil || !strings.Contains(err.Error(), "x.jsonl:3") {
		t.Errorf("where: %v", err)
	}
}
