package trl

import (
	"context"

	"dlm"
)

// Plan counts what a job will do. It starts no program: how fast one is on the
// place's machine is not known before it runs.
func (t *TRL) Plan(ctx context.Context, job dlm.TrainJob) (dlm.TrainPlan, error) {
	p, err := t.prepare(job)
	if err != nil {
		return dlm.TrainPlan{}, err
	}
	r := p.job.Recipe
	plan := dlm.TrainPlan{Examples: len(p.rows.lines), Steps: p.job.Steps, Device: t.o.Place.Name()}
	step := t.o.Order(plan.Examples, r.BatchSize, r.Seed, r.Shuffle)
	longest := 0
	for s := range plan.Steps {
		for _, i := range step(s) {
			plan.Tokens += p.rows.tokens[i]
			plan.LossTokens += p.rows.lossTokens[i]
			longest = max(longest, p.rows.tokens[i])
		}
	}
	plan.Computed = plan.Tokens
	_ = longest
	return plan, nil
}
