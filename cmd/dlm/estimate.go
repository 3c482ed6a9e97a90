package main

import (
	"context"
	"fmt"
	"time"

	"dlm"
	"dlm/driver/native"
	"dlm/lifecycle"
	"dlm/stage/evals"
)

// estimateItems is how many golden items an estimate answers.
const estimateItems = 8

// estimateArms times a few items through each arm that asks the base, and scales
// up. An adapter's answers are usually shorter than the base's, so its time is
// an upper bound.
func (l *pipeline) estimateArms(ctx context.Context, arms []evals.Arm) (lifecycle.Estimate, error) {
	if l.servesElsewhere() {
		return lifecycle.Estimate{Note: "through vLLM, which is not started to find out"}, nil
	}
	n, err := l.native()
	if err != nil {
		return lifecycle.Estimate{}, err
	}
	items := l.items[:min(estimateItems, len(l.items))]
	var e lifecycle.Estimate
	asked := 0
	for _, arm := range arms {
		if !arm.UsesModel() || len(items) == 0 {
			continue
		}
		var reqs []dlm.GenerateRequest
		for _, it := range items {
			reqs = append(reqs, dlm.GenerateRequest{Messages: arm.Prompt(it), Sampling: l.p.Sampling()})
		}
		start := time.Now()
		if _, err := n.Generate(ctx, reqs, nil); err != nil {
			return e, fmt.Errorf("%s: %w", arm.Name, err)
		}
		e.Seconds += time.Since(start).Seconds() * float64(len(l.items)) / float64(len(items))
		asked++
	}
	e.PeakBytes = native.PeakBytes()
	e.Note = fmt.Sprintf("from %d items through %d arms; larger batches are faster", len(items), asked)
	return e, nil
}
