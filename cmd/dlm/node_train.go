package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"dlm"
	"dlm/lifecycle"
	"dlm/stage/curate"
)

// stageCode is the version of what makes the stages' outputs. It changes when
// the same inputs and settings would give other outputs.
const stageCode = "1"

// checkNode refuses data that would waste a run.
func (l *pipeline) checkNode() lifecycle.Node {
	inputs := []lifecycle.Input{{Role: "base", ID: l.base.ID}, {Role: "data", ID: l.data.ID}}
	if l.held.ID != "" {
		inputs = append(inputs, lifecycle.Input{Role: "held", ID: l.held.ID})
	}
	if l.golden.ID != "" {
		inputs = append(inputs, lifecycle.Input{Role: "golden", ID: l.golden.ID})
	}
	return lifecycle.Node{
		Name: "check", Code: stageCode, Inputs: inputs,
		Params: l.checkParams(),
		Do: func(ctx context.Context, _ *lifecycle.Job) ([]dlm.Artifact, error) {
			n, err := l.codec()
			if err != nil {
				return nil, err
			}
			rows := append(append([]dlm.Row{}, l.rows...), l.heldRows...)
			r, err := curate.Check(ctx, rows, n, l.items, curate.CheckOptions{MaxLen: l.p.Data.MaxLen, Truncate: l.p.Data.Truncate, Method: l.p.Train.Method})
			if err != nil {
				return nil, err
			}
			if !l.a.flags.JSON {
				if err := curate.WriteResult(l.a.stdout, r, curate.Style{Colour: l.a.color()}); err != nil {
					return nil, err
				}
			}
			if err := r.Err(); err != nil {
				return nil, &refused{err}
			}
			return nil, nil
		},
	}
}

// checkParams are the settings of a check. The method stands there when it wants
// other rows than sft does.
func (l *pipeline) checkParams() map[string]string {
	ps := map[string]string{"max_len": fmt.Sprint(l.p.Data.MaxLen), "truncate": fmt.Sprint(l.p.Data.Truncate)}
	if l.p.Train.Method != "sft" {
		ps["method"] = l.p.Train.Method
	}
	return ps
}

// trainNode makes the adapter.
func (l *pipeline) trainNode() lifecycle.Node {
	inputs := []lifecycle.Input{{Role: "base", ID: l.base.ID}, {Role: "data", ID: l.data.ID}}
	if l.held.ID != "" {
		inputs = append(inputs, lifecycle.Input{Role: "held", ID: l.held.ID})
	}
	ps := params(l.p.Train)
	for _, cut := range []string{"packing", "micro_batch", "checkpointing"} {
		delete(ps, cut) // how a step is cut changes no bit: a run goes on when memory calls for another way
	}
	if l.trainsAfar() { // its adapters are not the native engine's to the last bit
		ps["trainer"] = l.p.Trainer
		if l.p.TRL.Unsloth {
			ps["unsloth"] = "true"
		}
	}
	if l.p.Train.Method == "grpo" {
		ps["reward_scorers"] = params(l.p.Eval)["scorers"] // what the rewards' names stand for
	}
	ps["max_len"], ps["truncate"] = fmt.Sprint(l.p.Data.MaxLen), fmt.Sprint(l.p.Data.Truncate)
	return lifecycle.Node{
		Name: "train", Code: stageCode, Inputs: inputs, Params: ps,
		Do: l.train,
		Estimate: func(ctx context.Context, _ []dlm.Parent) (lifecycle.Estimate, error) {
			plan, err := l.plan(ctx)
			note := fmt.Sprintf("%d steps at %.0f tokens/s", plan.Steps, plan.TokensPerSec)
			if plan.TokensPerSec == 0 {
				note = fmt.Sprintf("%d steps; speed not known before it runs", plan.Steps)
			}
			return lifecycle.Estimate{Seconds: plan.Seconds, PeakBytes: plan.PeakBytes, Note: note}, err
		},
	}
}

// trainJob is the project's training as the Trainer port takes it, on a base with
// a context of so many tokens.
func (l *pipeline) trainJob(dir string, contextLen int) dlm.TrainJob {
	job := dlm.TrainJob{Recipe: l.p.Recipe(), Rows: l.rows, Held: l.heldRows}
	if l.p.Data.MaxLenDefault {
		job.Recipe.MaxLen = min(job.Recipe.MaxLen, contextLen)
	}
	for i := 0; i < min(l.p.Train.Samples, len(l.heldRows)); i++ {
		if msgs := l.heldRows[i].Prompt(); len(msgs) > 0 {
			job.Samples = append(job.Samples, msgs)
		}
	}
	if dir != "" {
		job.Dir, job.Out = filepath.Join(dir, "train"), filepath.Join(dir, "adapter")
	}
	return job
}

func (l *pipeline) plan(ctx context.Context) (dlm.TrainPlan, error) {
	t, codec, err := l.trainerAndCodec()
	if err != nil {
		return dlm.TrainPlan{}, err
	}
	return t.Plan(ctx, l.trainJob("", codec.Context()))
}

func (l *pipeline) train(ctx context.Context, j *lifecycle.Job) ([]dlm.Artifact, error) {
	if err := l.stopServing(); err != nil { // its memory is the training's
		return nil, err
	}
	t, codec, err := l.trainerAndCodec()
	if err != nil {
		return nil, err
	}
	name, err := l.nameOf(j)
	if err != nil {
		return nil, err
	}
	job := l.trainJob(j.Dir, codec.Context())
	if job.Reward, err = l.reward(job.Rows); err != nil {
		return nil, err
	}
	plan, err := t.Plan(ctx, job)
	if err != nil {
		return nil, err
	}
	l.a.printPlan(plan)
	log := newTrainLog(l.a, job)
	r, err := t.Train(ctx, job, func(e dlm.TrainEvent) {
		log.event(e)
		recordMetrics(ctx, j, e)
	})
	log.close()
	if err != nil {
		return nil, err
	}
	j.Record(r.Made)
	art, err := j.Put(ctx, dlm.KindAdapter, name, l.p.Train.Seed, r.Dir)
	if err != nil {
		return nil, err
	}
	for name, v := range trainMetrics(r) {
		_ = j.Metric(ctx, name, v) // written with the end of the run
	}
	l.a.printTrained(r, art)
	return []dlm.Artifact{art}, nil
}

// nameOf is the adapter's name. It is no setting of the work, so that the same
// work under another name is not done twice; a run keeps it in its folder, for
// whoever goes on with it.
func (l *pipeline) nameOf(j *lifecycle.Job) (string, error) {
	path := filepath.Join(j.Dir, "name")
	if j.Resumed && l.adapterName == l.p.Name {
		if kept, err := os.ReadFile(path); err == nil && len(kept) > 0 {
			return string(kept), nil
		}
	}
	return l.adapterName, os.WriteFile(path, []byte(l.adapterName), 0o644)
}

// trainMetrics are the figures of a finished training, as "dlm runs show" and
// --json have them.
func trainMetrics(r dlm.TrainResult) map[string]float64 {
	m := map[string]float64{"loss": r.Loss, "tokens": float64(r.Tokens), "seconds": r.Seconds, "peak_rss_bytes": float64(r.PeakBytes)}
	if r.StoppedEarly {
		m["stopped_early_step"] = float64(r.Steps)
	}
	if r.EvalLoss > 0 {
		m["eval_loss"], m["best_step"] = r.EvalLoss, float64(r.BestStep)
	}
	if r.Seconds > 0 {
		m["tokens_per_second"] = float64(r.Tokens) / r.Seconds
	}
	return m
}

// recordMetrics keeps the last values for "dlm runs". Losing one is no reason to
// stop training, so errors are left to the end of the run, which writes again.
func recordMetrics(ctx context.Context, j *lifecycle.Job, e dlm.TrainEvent) {
	switch e.Kind {
	case "step":
		_ = j.Metric(ctx, "step", float64(e.Step))
		_ = j.Metric(ctx, "loss", e.Loss)
		_ = j.Metric(ctx, "tokens_per_second", e.TokPerSec)
	case "reward":
		_ = j.Metric(ctx, "reward", e.Reward)
	case "eval":
		_ = j.Metric(ctx, "eval_loss", e.Loss)
	}
}
