package native

import (
	"context"
	"errors"
	"fmt"

	"dlm"
	"dlm/engine/infer"
	"dlm/engine/lora"
	"dlm/engine/train"
)

// sampleTokens is the most that a sample prompt is answered with while training.
const sampleTokens = 96

// Plan says what a job will cost. With Options.ProbePlan it measures the speed
// of one pass on this machine, which takes about as long as a step.
func (n *Native) Plan(ctx context.Context, job dlm.TrainJob) (dlm.TrainPlan, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	j, err := n.prepare(job)
	if err != nil {
		return dlm.TrainPlan{}, err
	}
	p, err := train.Preview(n.m, j.adapter, j.data, j.held, j.cfg)
	if err != nil {
		return dlm.TrainPlan{}, err
	}
	plan := dlm.TrainPlan{
		Kernels: p.Kernels, Threads: p.Threads, Examples: p.Examples, Tokens: p.Tokens, LossTokens: p.LossTokens,
		Steps: p.Steps, Parameters: p.Parameters, Computed: p.Computed, Shared: p.Shared,
		MicroTokens: p.MicroTokens, Recomputed: p.Recomputed, Layers: p.Layers,
		Bytes: p.Bytes, PeakBytes: p.PeakBytes, Warnings: p.Warnings,
	}
	if !n.o.ProbePlan {
		return plan, nil
	}
	if plan.TokensPerSec, err = train.Probe(ctx, n.m, j.adapter, j.data, j.cfg); err != nil {
		return dlm.TrainPlan{}, err
	}
	plan.Seconds = float64(plan.Tokens) / plan.TokensPerSec
	return plan, nil
}

// Train runs or resumes a job and writes the adapter folder job.Out. Other
// calls that compute wait until it is done.
func (n *Native) Train(ctx context.Context, job dlm.TrainJob, emit func(dlm.TrainEvent)) (dlm.TrainResult, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if job.Dir == "" || job.Out == "" {
		return dlm.TrainResult{}, fmt.Errorf("training needs a working folder for its checkpoints and a folder to write the adapter to")
	}
	j, err := n.prepare(job)
	if err != nil {
		return dlm.TrainResult{}, err
	}
	var forward func(train.Event)
	if emit != nil {
		forward = func(e train.Event) { emit(event(e)) }
	}
	r, err := train.Run(ctx, n.m, j.adapter, j.data, j.held, j.cfg, job.Dir, forward)
	if err != nil {
		return dlm.TrainResult{}, err
	}
	p, err := n.probe(j.adapter)
	if err != nil {
		return dlm.TrainResult{}, fmt.Errorf("the trained adapter was not written: %w", err)
	}
	if err := n.save(j.adapter, p, job.Out); err != nil {
		return dlm.TrainResult{}, err
	}
	return dlm.TrainResult{
		Dir: job.Out, Steps: r.Steps, StoppedEarly: r.StoppedEarly, Loss: r.Loss, EvalLoss: r.EvalLoss, BestStep: r.BestStep,
		Tokens: r.Tokens, Seconds: r.Seconds, PeakBytes: r.PeakBytes, Resumed: r.Resumed,
	}, nil
}

func event(e train.Event) dlm.TrainEvent {
	return dlm.TrainEvent{
		Kind: e.Kind, Step: e.Step, Steps: e.Steps, Epoch: e.Epoch, Loss: e.Loss, LR: e.LR, GradNorm: e.GradNorm,
		Tokens: e.Tokens, TokPerSec: e.TokPerSec, Left: e.Left, Best: e.Best, Sample: e.Sample, Text: e.Text, Path: e.Path,
	}
}

// job is a dlm.TrainJob as the engine takes it.
type job struct {
	adapter    *lora.Adapter
	data, held []train.Example
	cfg        train.Config
}

// prepare checks a job and turns its rows into ids. Callers hold n.mu.
func (n *Native) prepare(in dlm.TrainJob) (j job, err error) {
	r := in.Recipe
	switch r.Method {
	case "", "sft", "cpt": // of a plain text all tokens count already: the rows make the difference
	default:
		return j, fmt.Errorf("method %s: this engine trains sft and cpt; say trainer: trl in dlm.yaml to train %s with TRL", r.Method, r.Method)
	}
	if err := errors.Join(dlm.CheckMethodRows(r.Method, "training", in.Rows), dlm.CheckMethodRows(r.Method, "held-out", in.Held)); err != nil {
		return j, err
	}
	if r.Precision != "" && r.Precision != n.Precision() {
		return j, fmt.Errorf("the recipe asks for precision %s, but the base is loaded in %s", r.Precision, n.Precision())
	}
	lc, err := n.loraConfig(r)
	if err != nil {
		return j, err
	}
	if j.data, err = n.examples("training", in.Rows, r); err != nil {
		return j, err
	}
	if j.held, err = n.examples("held-out", in.Held, r); err != nil {
		return j, err
	}
	j.cfg = train.Config{
		Epochs: r.Epochs, MaxSteps: r.MaxSteps, BatchSize: r.BatchSize, MaxLen: r.MaxLen,
		Packing: r.Packing, MicroBatch: r.MicroBatch, SharePrefix: r.SharePrefix, Checkpointing: r.Checkpointing,
		LR: r.LR, Schedule: r.Schedule, Warmup: r.Warmup, WeightDecay: r.WeightDecay, ClipNorm: r.ClipNorm,
		Seed: r.Seed, Shuffle: r.Shuffle,
		EvalEvery: r.EvalEvery, SampleEvery: r.SampleEvery, SaveEvery: r.SaveEvery, KeepBest: r.KeepBest,
		EarlyStop: train.EarlyStop{Patience: r.EarlyStopping.Patience, MinDelta: r.EarlyStopping.MinDelta},
		Base:      n.id.BaseHash, Code: n.o.Code,
	}
	j.adapter = lora.New(n.m, lc, r.Seed)
	if len(in.Samples) > 0 {
		err = n.sampling(&j, in.Samples)
	}
	return j, err
}

// NewAdapter writes the adapter that training by this recipe starts from as a PEFT
// folder: the same numbers for whichever trainer goes on from them.
func (n *Native) NewAdapter(r dlm.Recipe, dir string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	lc, err := n.loraConfig(r)
	if err != nil {
		return err
	}
	return lora.New(n.m, lc, r.Seed).Save(dir, n.id)
}

// Order is the order in which Train sees its rows: which of n each step gets, as
// indices, valid until the next call.
func Order(n, batch int, seed uint64, shuffle bool) func(step int) []int {
	return train.Order(n, batch, seed, shuffle)
}

// loraConfig is the adapter's part of a recipe, checked against the base.
func (n *Native) loraConfig(r dlm.Recipe) (lora.Config, error) {
	modules, err := lora.ParseModules(r.TargetModules)
	if err != nil {
		return lora.Config{}, err
	}
	c := lora.Config{Rank: r.Rank, Alpha: r.Alpha, Dropout: r.Dropout, RSLoRA: r.RSLoRA, Modules: modules,
		RankPattern: patterns(r.RankPattern), AlphaPattern: patterns(r.AlphaPattern)}
	return c, c.ValidateFor(n.m)
}

func patterns(list []dlm.Pattern) []lora.Pattern {
	var out []lora.Pattern
	for _, p := range list {
		out = append(out, lora.Pattern{Match: p.Match, Value: p.Value})
	}
	return out
}

// sampling lets the run answer prompts with the adapter as it learns.
func (n *Native) sampling(j *job, prompts [][]dlm.Message) error {
	e, err := n.infer()
	if err != nil {
		return err
	}
	reqs := make([]infer.Request, len(prompts))
	for i, msgs := range prompts {
		ids, err := n.Prompt(msgs, "")
		if err != nil {
			return fmt.Errorf("sample prompt %d: %w", i+1, err)
		}
		reqs[i] = infer.Request{IDs: ids, Adapter: j.adapter, StopIDs: n.id.StopIDs, MaxTokens: sampleTokens}
	}
	j.cfg.CacheBytes = e.Need(reqs)
	j.cfg.Sample = func(ctx context.Context, _ int) ([]string, error) {
		out, err := e.Generate(ctx, reqs, nil) // n.mu is held: the run has the base to itself
		if err != nil {
			return nil, err
		}
		texts := make([]string, len(out))
		for i, r := range out {
			texts[i] = r.Text
		}
		return texts, nil
	}
	return nil
}

// examples turns rows into ids and masks; what names the set of rows.
func (n *Native) examples(what string, rows []dlm.Row, r dlm.Recipe) ([]train.Example, error) {
	encoded, err := dlm.EncodeRows(n, what, rows, r.MaxLen, r.Truncate)
	if err != nil {
		return nil, err
	}
	out := make([]train.Example, len(rows))
	for i, e := range encoded {
		out[i] = train.Example{ID: exampleID(rows[i], i), IDs: e.IDs, Mask: e.Mask}
	}
	return out, nil
}

func exampleID(row dlm.Row, i int) string {
	if row.ID != "" {
		return row.ID
	}
	return row.Where(i)
}
