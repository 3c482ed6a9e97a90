package evals_test

import (
	"context"
	"fmt"
	"strings"

	"dlm"
	"dlm/stage/evals"
)

// parrot stands for a base: it answers every prompt with the same words.
type parrot struct{}

func (parrot) Generate(_ context.Context, reqs []dlm.GenerateRequest, _ func(int, dlm.Token)) ([]dlm.Completion, error) {
	out := make([]dlm.Completion, len(reqs))
	for i := range out {
		out[i] = dlm.Completion{Text: "Paris", Finish: "stop"}
	}
	return out, nil
}

func ExampleRun() {
	items, err := evals.ParseGolden("capitals.jsonl", strings.NewReader(
		`{"id": "fr", "prompt": "Capital of France?", "target": "Paris"}
{"id": "de", "prompt": "Capital of Germany?", "target": "Berlin"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	scorers, _ := evals.NewAll([]evals.ScorerSpec{{Name: "exact"}})
	zero, _ := evals.NewArm(evals.ArmSpec{Kind: "zero-shot"}, nil)
	report, err := evals.Run(context.Background(), parrot{}, evals.Job{
		Items: items, Arms: []evals.Arm{zero}, Scorers: scorers,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, _ := report.Arms[0].Metric("exact")
	fmt.Printf("%s: %.0f%%, %s interval %.1f%% to %.1f%%\n", report.Arms[0].Name, 100*m.Value, m.Method, 100*m.Low, 100*m.High)
	// Output:
	// zero-shot: 50%, wilson interval 9.5% to 90.5%
}
