package train

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"dlm/engine/optim"
)

// Config says how to train. The zero values of Beta1, Beta2, Eps, MicroBatch,
// MicroTokens, MaxLen, EvalEvery, SampleEvery, SaveEvery and MemoryLimit mean
// the default described.
type Config struct {
	Epochs    float64 // passes over the data
	MaxSteps  int     // steps of the run; 0 = from Epochs
	BatchSize int     // examples a step sees, over all its micro-batches
	MaxLen    int     // tokens an example may have; 0 = the base's context length

	// How a step is cut into passes. This changes speed and memory, never the
	// adapter.
	Packing     bool // several examples share a pass
	MicroBatch  int  // at most so many examples a pass; 0 = planned
	MicroTokens int  // at most so many tokens a pass; 0 = planned

	// Checkpointing says whether layers keep their activations for the backward
	// pass or compute them again: "auto" (or "", as many as must to fit the
	// memory), "on" (all), "off" (none). It changes speed and memory alone.
	Checkpointing string

	// SharePrefix computes tokens that examples of a step begin with alike once.
	// It has no effect with dropout, whose masks are each example's own. The
	// losses of a step stay the same to the last bit; gradients are rounded after
	// the sum over examples instead of before, so it is part of what a run is.
	SharePrefix bool

	LR          float64
	Schedule    string // "cosine", "linear" or "constant"
	Warmup      int    // steps
	WeightDecay float64
	Beta1       float64 // 0 = 0.9
	Beta2       float64 // 0 = 0.999
	Eps         float64 // 0 = 1e-8
	ClipNorm    float64 // 0 = off

	Seed    uint64 // of the data order and of dropout
	Shuffle bool

	EvalEvery   int       // steps; 0 = at the end of each epoch
	SampleEvery int       // steps; 0 = with each evaluation
	SaveEvery   int       // steps; 0 = with each evaluation
	KeepBest    bool      // end with the adapter of the least evaluation loss
	EarlyStop   EarlyStop // zero = all steps are made

	MemoryLimit int64  // bytes the run may take; 0 = what the machine has free
	CacheBytes  int64  // bytes that Sample will take, for the plan
	Base        string // hash of the base; part of the run's identity
	Code        string // version of dlm, recorded in checkpoints

	// Sample answers a few prompts with the adapter as it is after step steps,
	// one text per prompt; nil = none.
	Sample func(ctx context.Context, step int) ([]string, error)
}

// withDefaults fills in the zero values; maxSeq is the base's context length.
func (c Config) withDefaults(maxSeq int) Config {
	d := optim.DefaultAdamW()
	if c.Beta1 == 0 {
		c.Beta1 = d.Beta1
	}
	if c.Beta2 == 0 {
		c.Beta2 = d.Beta2
	}
	if c.Eps == 0 {
		c.Eps = d.Eps
	}
	if c.MaxLen == 0 {
		c.MaxLen = maxSeq
	}
	if c.Schedule == "" {
		c.Schedule = "cosine"
	}
	if c.Checkpointing == "" {
		c.Checkpointing = "auto"
	}
	return c
}

// validate says what is wrong with a configuration that has its defaults.
func (c Config) validate(maxSeq int) error {
	nonNegative := []struct {
		name  string
		value float64
	}{
		{"max_steps", float64(c.MaxSteps)}, {"micro_batch", float64(c.MicroBatch)}, {"micro_tokens", float64(c.MicroTokens)},
		{"weight_decay", c.WeightDecay}, {"clip_norm", c.ClipNorm}, {"eval_every", float64(c.EvalEvery)},
		{"sample_every", float64(c.SampleEvery)}, {"save_every", float64(c.SaveEvery)},
		{"memory_limit", float64(c.MemoryLimit)},
	}
	for _, f := range nonNegative {
		if !(f.value >= 0) {
			return fmt.Errorf("%s %v: expected 0 or more", f.name, f.value)
		}
	}
	switch {
	case c.BatchSize < 1:
		return fmt.Errorf("batch_size %d: expected 1 or more", c.BatchSize)
	case c.MaxSteps == 0 && !(c.Epochs > 0 && c.Epochs < 1e6):
		return fmt.Errorf("epochs %v: expected a positive number, or set max_steps", c.Epochs)
	case c.MaxLen < 2 || c.MaxLen > maxSeq:
		return fmt.Errorf("max_len %d: expected 2 to %d, the base's context length", c.MaxLen, maxSeq)
	case !(c.Beta1 > 0 && c.Beta1 < 1) || !(c.Beta2 > 0 && c.Beta2 < 1):
		return fmt.Errorf("betas %v, %v: expected numbers between 0 and 1", c.Beta1, c.Beta2)
	case !(c.Eps > 0):
		return fmt.Errorf("eps %v: expected a positive number", c.Eps)
	}
	if !slices.Contains([]string{"auto", "on", "off"}, c.Checkpointing) {
		return fmt.Errorf("checkpointing %q: expected auto, on or off", c.Checkpointing)
	}
	if err := c.EarlyStop.validate(c); err != nil {
		return err
	}
	return optim.Schedule{Kind: c.Schedule, Peak: c.LR, Warmup: c.Warmup}.Validate()
}

// field is one setting that decides the adapter's bytes.
type field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// identity lists every setting that decides the adapter's bytes, so that a run
// is resumed only as what it was, and a message can say what differs.
func (r *runner) identity() []field {
	c, lc := r.cfg, r.adapter.Config()
	f := func(name string, v any) field { return field{name, fmt.Sprint(v)} }
	var mods []string
	for _, m := range lc.Modules {
		mods = append(mods, m.String())
	}
	id := []field{
		f("base", c.Base), f("precision", precision(r.mode)),
		f("rank", lc.Rank), f("alpha", lc.Alpha), f("dropout", lc.Dropout), f("rslora", lc.RSLoRA),
		f("target_modules", strings.Join(mods, ",")), f("starting adapter", valueHash(r.adapter)),
		f("training data", dataHash(r.data)), f("training examples", len(r.data)),
		f("held-out data", dataHash(r.held)), f("held-out examples", len(r.held)),
		f("steps", r.total), f("batch_size", c.BatchSize), f("max_len", c.MaxLen),
		f("lr", c.LR), f("schedule", c.Schedule), f("warmup", c.Warmup),
		f("weight_decay", c.WeightDecay), f("beta1", c.Beta1), f("beta2", c.Beta2), f("eps", c.Eps), f("clip_norm", c.ClipNorm),
		f("seed", c.Seed), f("shuffle", c.Shuffle), f("share_prefix", r.sharesPrefixes()),
		f("eval_every", c.EvalEvery), f("keep_best", c.KeepBest),
	}
	// Settings that most runs do without stand there only when used.
	if len(lc.RankPattern) > 0 {
		id = append(id, f("rank_pattern", lc.RankPattern))
	}
	if len(lc.AlphaPattern) > 0 {
		id = append(id, f("alpha_pattern", lc.AlphaPattern))
	}
	if c.EarlyStop.Patience > 0 {
		id = append(id, f("early_stopping", c.EarlyStop))
	}
	return id
}

// sharesPrefixes reports whether examples of a step share prefixes.
func (r *runner) sharesPrefixes() bool {
	return r.cfg.SharePrefix && r.adapter.Config().Dropout == 0
}

// differences lists what changed from one identity to another, for a message.
func differences(was, is []field) []string {
	now := map[string]string{}
	for _, f := range is {
		now[f.Name] = f.Value
	}
	var diff []string
	for _, f := range was {
		v, ok := now[f.Name]
		switch {
		case !ok:
			diff = append(diff, fmt.Sprintf("%s was %s and is not a setting any more", f.Name, f.Value))
		case v != f.Value:
			diff = append(diff, fmt.Sprintf("%s was %s, is %s", f.Name, brief(f.Value), brief(v)))
		}
		delete(now, f.Name)
	}
	for _, f := range is {
		if v, ok := now[f.Name]; ok {
			diff = append(diff, fmt.Sprintf("%s is %s and was not a setting", f.Name, brief(v)))
		}
	}
	return diff
}

// brief shortens a hash for people.
func brief(s string) string {
	if strings.HasPrefix(s, "sha256:") && len(s) > 19 {
		return s[:19]
	}
	if s == "" {
		return "not given"
	}
	return s
}
