package lifecycle

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"

	"dlm"
	"dlm/stage/curate"
	"dlm/stage/evals"
)

// validate checks values and files. Everything wrong is reported at once.
func (p *Project) validate(d *decoder) error {
	v := &validator{d: d}
	v.check(strings.TrimSpace(p.Base) != "" || p.Serve.Native == "off" && p.servesOnly(d), "base", "is missing", "a base model: smollm2-135m-instruct, hf:owner/name, or a path", "dlm pull smollm2-135m-instruct fetches the smallest")
	p.validateData(v)
	p.TRL.validate(v)
	p.validateTrain(v)
	p.validateEval(v)
	p.validateVLLM(v)
	p.Serve.validate(v)
	v.check(p.Gate.Level > 0.5 && p.Gate.Level < 1, "gate.level", fmt.Sprintf("is %v", p.Gate.Level), "a level between 0.5 and 1, such as 0.95", "")
	v.check(strings.TrimSpace(p.Gate.Baseline) != "", "gate.baseline", "is empty", "best-arm, the name of an arm, or an adapter", "")
	v.oneOf("gate.on_inconclusive", p.Gate.OnInconclusive, "block", "warn", "pass")
	scope, _, err := dlm.ParseAlias(p.Promote.Alias)
	v.check(p.Promote.Alias == "" || err == nil && (scope == "" || scope == p.Name), "promote.alias", fmt.Sprintf("is %q", p.Promote.Alias),
		"lower-case letters, digits, dot, dash or underscore, such as prod, or "+p.Name+"@prod", "")
	slices.SortStableFunc(v.errs, func(a, b error) int {
		x, y := a.(*FieldError), b.(*FieldError) //nolint:errorlint // check makes no others
		return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Field, y.Field))
	})
	return errors.Join(v.errs...)
}

// servesOnly says whether the file is about serving alone: the adapters are
// those that other projects put into the same store.
func (p *Project) servesOnly(d *decoder) bool {
	_, serves := d.at["serve"]
	for _, f := range []string{"data", "golden", "train"} {
		if _, given := d.at[f]; given {
			return false
		}
	}
	return serves
}

func (p *Project) validateData(v *validator) {
	if info, err := os.Stat(p.Path(p.Store)); p.Store != "" {
		v.check(err == nil && info.IsDir(), "store", fmt.Sprintf("%s is no folder", p.Store), "a folder, relative to that of "+FileName+", such as ../..", "")
	}
	v.check(len(p.Data.Train) > 0 || p.servesOnly(v.d), "data.train", "is missing", "the file to train on, such as data/train.jsonl", "dlm init --from FILE writes this file for yours")
	for i, f := range p.Data.Train {
		at := "data.train"
		if len(p.Data.Train) > 1 {
			at = fmt.Sprintf("data.train[%d]", i)
		}
		v.file(at, f, p.Path(f))
	}
	if f := p.Data.HeldOut.File; f != "" {
		v.file("data.held_out", f, p.Path(f))
	}
	if p.Golden.File != "" {
		v.file("golden", p.Golden.File, p.Path(p.Golden.File))
		v.check(!slices.Contains(p.Data.Train, p.Golden.File), "golden", "is also trained on", "a file of its own", "dlm golden split takes items out of a training file")
	}
	if p.Data.Format != "" {
		names := make([]string, len(curate.Formats))
		for i, f := range curate.Formats {
			names[i] = string(f)
		}
		v.oneOf("data.format", p.Data.Format, names...)
	}
	v.check((p.Data.Prompt == "") == (p.Data.Completion == ""), "data.completion", "only one of data.prompt and data.completion is given", "both, or neither", "")
	v.check(p.Data.MaxLen >= 0, "data.max_len", fmt.Sprintf("is %d", p.Data.MaxLen), "a number of tokens; 0 = the base's context length", "")
}

func (p *Project) validateTrain(v *validator) {
	t := p.Train
	atLeast := func(path string, got, least int) {
		v.check(got >= least, "train."+path, fmt.Sprintf("is %d", got), fmt.Sprintf("%d or more", least), "")
	}
	p.validateMethod(v)
	v.oneOf("train.schedule", t.Schedule, "cosine", "linear", "constant")
	v.oneOf("train.checkpointing", t.Checkpointing, "auto", "on", "off")
	if p.Quantize != "" {
		v.oneOf("quantize", p.Quantize, "none", "nf4")
	}
	v.oneOf("trainer", p.Trainer, "native", TrainerTRL)
	v.check(p.Trainer == TrainerTRL || !p.TRL.Unsloth, "trl.unsloth", "is true, and the trainer is "+p.Trainer, "trainer: trl with it", "")
	v.oneOf("train.precision", t.Precision, "bf16", "f32")
	atLeast("rank", t.Rank, 1)
	v.check(t.Rank <= 1024, "train.rank", fmt.Sprintf("is %d", t.Rank), "1 to 1024", "")
	atLeast("batch_size", t.BatchSize, 1)
	for path, n := range map[string]int{"max_steps": t.MaxSteps, "micro_batch": t.MicroBatch, "warmup": t.Warmup, "eval_every": t.EvalEvery,
		"sample_every": t.SampleEvery, "save_every": t.SaveEvery, "samples": t.Samples} {
		atLeast(path, n, 0)
	}
	positive := func(path string, x float64, expected, hint string) {
		v.check(x > 0 && !math.IsInf(x, 0), "train."+path, fmt.Sprintf("is %v", x), expected, hint)
	}
	positive("alpha", t.Alpha, "more than 0, usually twice the rank", "")
	positive("lr", t.LR, "more than 0, such as 1e-3", "")
	v.check(t.LR <= 0 || t.LR < 1, "train.lr", fmt.Sprintf("is %v", t.LR), "less than 1; 1e-4 to 2e-3 are usual for LoRA", "")
	if t.MaxSteps == 0 {
		positive("epochs", t.Epochs, "more than 0, or max_steps", "")
	}
	v.check(t.Dropout >= 0 && t.Dropout < 1, "train.dropout", fmt.Sprintf("is %v", t.Dropout), "0 or more, less than 1", "")
	v.check(t.WeightDecay >= 0 && t.WeightDecay < 1, "train.weight_decay", fmt.Sprintf("is %v", t.WeightDecay), "0 or more, less than 1", "")
	v.check(t.ClipNorm >= 0, "train.clip_norm", fmt.Sprintf("is %v", t.ClipNorm), "0 (off) or more", "")
	t.validatePatterns(v)
	p.validateEarlyStopping(v)
	v.check(len(t.TargetModules) > 0, "train.target_modules", "is empty", "one or more of "+strings.Join(modules, ", "), "")
	for i, m := range t.TargetModules {
		at := fmt.Sprintf("train.target_modules[%d]", i)
		v.oneOf(at, m, modules...)
		v.check(!slices.Contains(t.TargetModules[:i], m), at, fmt.Sprintf("%q is named twice", m), "each once", "")
	}
}

func (p *Project) validateEarlyStopping(v *validator) {
	e := p.Train.EarlyStopping
	if e == (EarlySpec{}) {
		return
	}
	const at = "train.early_stopping"
	v.check(e.Patience >= 1, at+".patience", fmt.Sprintf("is %d", e.Patience), "1 or more: the evaluations without progress after which training ends", "")
	v.check(e.MinDelta >= 0, at+".min_delta", fmt.Sprintf("is %v", e.MinDelta), "0 or more", "")
	v.check(p.Train.EvalEvery > 0, at, "needs train.eval_every, which is 0", "the steps from one evaluation to the next, such as eval_every: 20", "")
	v.check(p.Data.HeldOut != Held{}, at, "needs held-out rows, and data.held_out is 0", "a part, a number or a file, such as held_out: 5%", "")
}

// validatePatterns checks what needs no base; the trainer checks that every
// pattern matches.
func (t *TrainSpec) validatePatterns(v *validator) {
	for field, list := range map[string]Patterns{"rank_pattern": t.RankPattern, "alpha_pattern": t.AlphaPattern} {
		for _, p := range list {
			at := join("train."+field, p.Match)
			_, err := regexp.Compile(p.Match)
			v.check(err == nil, at, fmt.Sprintf("is no regular expression that can be used (%v)", err), "such as q_proj or layers\\.0\\..*_proj", "")
			if field == "rank_pattern" {
				v.check(p.Value == math.Trunc(p.Value) && p.Value >= 1 && p.Value <= 1024, at, fmt.Sprintf("is %v", p.Value), "a whole number from 1 to 1024", "")
			} else {
				v.check(p.Value > 0, at, fmt.Sprintf("is %v", p.Value), "more than 0", "")
			}
		}
	}
}

func (p *Project) validateEval(v *validator) {
	e := p.Eval
	var metrics []string
	for i := range e.Scorers {
		at := fmt.Sprintf("eval.scorers[%d]", i)
		if f := e.Scorers[i].Schema; f != "" && !strings.HasPrefix(strings.TrimSpace(f), "{") {
			before := len(v.errs)
			v.file(at+".schema", f, p.Path(f))
			if len(v.errs) > before {
				continue
			}
		}
		s, err := evals.New(p.scorer(i))
		if err != nil {
			v.check(false, at, err.Error(), "", "")
			continue
		}
		for _, m := range s.Metrics() {
			v.check(!slices.Contains(metrics, m), at, fmt.Sprintf("its metric %q is another scorer's too", m), "each metric once", "give it a name of its own with metric:")
			metrics = append(metrics, m)
		}
	}
	if len(metrics) > 0 {
		v.check(slices.Contains(metrics, e.Primary), "eval.primary", fmt.Sprintf("is %q", e.Primary), "a metric of the scorers: "+strings.Join(metrics, ", "), didYouMean(e.Primary, metrics))
	}
	var arms []string
	for i, a := range e.Arms {
		at := fmt.Sprintf("eval.arms[%d]", i)
		v.check(a.Kind != "few-shot" || a.Shots >= 1, at, fmt.Sprintf("few-shot is %d", a.Shots), "1 or more examples", "")
		v.check(!slices.Contains(arms, a.String()), at, fmt.Sprintf("%s is named twice", a), "each arm once", "")
		arms = append(arms, a.String())
	}
	v.check(e.MaxTokens >= 1, "eval.max_tokens", fmt.Sprintf("is %d", e.MaxTokens), "1 or more", "")
	v.check(e.Batch >= 0, "eval.batch", fmt.Sprintf("is %d", e.Batch), "0 (chosen) or more", "")
	s := e.Sampling
	v.check(s.Temperature >= 0, "eval.sampling.temperature", fmt.Sprintf("is %v", s.Temperature), "0 (greedy) or more", "")
	v.check(s.TopK >= 0, "eval.sampling.top_k", fmt.Sprintf("is %d", s.TopK), "0 (off) or more", "")
	for path, x := range map[string]float64{"top_p": s.TopP, "min_p": s.MinP} {
		v.check(x >= 0 && x <= 1, "eval.sampling."+path, fmt.Sprintf("is %v", x), "0 (off) to 1", "")
	}
	v.check(s.RepetitionPenalty >= 0, "eval.sampling.repetition_penalty", fmt.Sprintf("is %v", s.RepetitionPenalty), "0 (off) or more", "")
}
