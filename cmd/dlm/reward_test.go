package main

import (
	"context"
	"slices"
	"strings"
	"testing"

	"dlm"
	"dlm/lifecycle"
	"dlm/stage/evals"
)

// A reward is the mean of the metrics that are named, against the row's answer.
func TestReward(t *testing.T) {
	q := []dlm.Message{{Role: "user", Content: "q"}}
	rows := []dlm.Row{
		{ID: "a", Messages: append(q[:1:1], dlm.Message{Role: "assistant", Content: "Yes"}), TrainFrom: 1},
		{ID: "b", Messages: q, TrainFrom: 1, File: "f.jsonl", Line: 2},
	}
	p := &lifecycle.Project{}
	p.Train.Method, p.Train.Rewards = "grpo", []string{"exact", "short"}
	p.Eval.Scorers = []evals.ScorerSpec{{Name: "exact"}, {Name: "regex", Metric: "short", Pattern: "^.{0,5}$"}, {Name: "rouge-l"}}
	f, err := (&pipeline{p: p}).reward(rows)
	if err != nil {
		t.Fatal(err)
	}
	got, err := f(context.Background(), []dlm.Rollout{{Row: 0, Completion: "Yes"}, {Row: 0, Completion: "No"}, {Row: 0, Completion: "No, never"}})
	if err != nil || !slices.Equal(got, []float64{1, 0.5, 0}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := f(context.Background(), []dlm.Rollout{{Row: 1, Completion: "Yes"}}); err == nil || !strings.Contains(err.Error(), "f.jsonl:2") {
		t.Errorf("a row without an answer: %v", err)
	}
	if _, err := f(context.Background(), []dlm.Rollout{{Row: 2}}); err == nil {
		t.Error("a row that is not there")
	}
	p.Train.Method = "sft"
	if f, err := (&pipeline{p: p}).reward(rows); f != nil || err != nil {
		t.Errorf("sft has a reward: %v", err)
	}
}
