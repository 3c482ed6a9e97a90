package trl

import (
	"context"
	"fmt"

	"dlm"
)

// Plan counts what a job will do and what memory it takes on the device, from the
// shapes of the base. It starts no program: how fast the place's machine is, is
// not known before it runs. A job that does not fit is a *NoFit.
func (t *TRL) Plan(ctx context.Context, job dlm.TrainJob) (dlm.TrainPlan, error) {
	p, err := t.prepare(job)
	if err != nil {
		return dlm.TrainPlan{}, err
	}
	base, err := t.o.Base(ctx)
	if err != nil {
		return dlm.TrainPlan{}, err
	}
	return t.plan(p, base)
}

// plan counts a prepared job on the base in a folder.
func (t *TRL) plan(p prepared, base string) (dlm.TrainPlan, error) {
	shape, err := ReadShape(base)
	if err != nil {
		return dlm.TrainPlan{}, err
	}
	r := p.job.Recipe
	plan := dlm.TrainPlan{Examples: len(p.rows.lines), Steps: p.job.Steps, Layers: shape.Layers, Warnings: []string{}}
	step := t.o.Order(plan.Examples, r.BatchSize, r.Seed, r.Shuffle)
	for s := range plan.Steps {
		for _, i := range step(s) {
			plan.Tokens += p.rows.tokens[i]
			plan.LossTokens += p.rows.lossTokens[i]
		}
	}
	plan.Computed = plan.Tokens
	m, err := t.memory(p, shape).Choose()
	if err != nil {
		return dlm.TrainPlan{}, err
	}
	m.into(&plan)
	plan.Device, plan.DeviceBytes = t.device(), t.o.Device.Bytes
	return plan, nil
}

// memory is what the job takes with the recipe as it stands.
func (t *TRL) memory(p prepared, s Shape) Memory {
	return Memory{Shape: s, Recipe: p.job.Recipe, Quantize: p.job.Quantize, Tokens: p.longest(), Device: t.o.Device, Processes: t.o.Processes}
}

// choose settles what the recipe leaves open, so that the job fits its device: the
// pre-flight of training.
func (t *TRL) choose(p prepared) (Job, error) {
	shape, err := ReadShape(p.job.Base)
	if err != nil {
		return p.job, err
	}
	m, err := t.memory(p, shape).Choose()
	if err != nil {
		return p.job, err
	}
	p.job.Recipe.MicroBatch, p.job.Recipe.Checkpointing = m.Recipe.MicroBatch, m.Recipe.Checkpointing
	return p.job, nil
}

// device says where the plan's memory is.
func (t *TRL) device() string {
	name := t.o.Device.Name
	if name == "" {
		name = "a GPU that is not known yet"
	}
	return fmt.Sprintf("%s (trl on %s)", name, t.o.Place.Name())
}

// longest is the number of tokens of the longest row.
func (p prepared) longest() int {
	n := 0
	for _, rows := range []encodedRows{p.rows, p.held} {
		for _, t := range rows.longest {
			n = max(n, t)
		}
	}
	return n
}
