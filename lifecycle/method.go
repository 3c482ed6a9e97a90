package lifecycle

import (
	"fmt"
	"slices"
	"strings"

	"dlm"
	"dlm/stage/evals"
)

// RolloutSpec is how grpo samples the completions that it compares; see
// dlm.Sampling. Zeros stand for the trainer's defaults.
type RolloutSpec struct {
	MaxTokens         int     `yaml:"max_tokens" json:"max_tokens,omitempty"`
	Temperature       float64 `yaml:"temperature" json:"temperature,omitempty"`
	TopK              int     `yaml:"top_k" json:"top_k,omitempty"`
	TopP              float64 `yaml:"top_p" json:"top_p,omitempty"`
	MinP              float64 `yaml:"min_p" json:"min_p,omitempty"`
	RepetitionPenalty float64 `yaml:"repetition_penalty" json:"repetition_penalty,omitempty"`
}

// sampling is the settings as the Trainer port takes them.
func (r RolloutSpec) sampling() dlm.Sampling {
	return dlm.Sampling{MaxTokens: r.MaxTokens, Temperature: r.Temperature, TopK: r.TopK, TopP: r.TopP, MinP: r.MinP, RepetitionPenalty: r.RepetitionPenalty}
}

// methodRates are the learning rates of methods where the file names none.
// Preferences move an adapter that sft may have made: far less than sft itself.
var methodRates = map[string]float64{"dpo": 5e-5, "kto": 5e-5, "orpo": 1e-4, "grpo": 2e-5}

// methodDefaults fills in what depends on the method.
func (p *Project) methodDefaults(given map[string]position) {
	if _, ok := given["train.lr"]; ok {
		return
	}
	if lr, ok := methodRates[p.Train.Method]; ok {
		p.Train.LR = lr
	}
}

// validateMethod checks the method, who can train it, and what belongs to it.
func (p *Project) validateMethod(v *validator) {
	t := p.Train
	m := t.Method
	v.oneOf("train.method", m, dlm.Methods...)
	if slices.Contains(dlm.Methods, m) {
		v.check(p.Trainer != "native" || m == "sft" || m == "cpt", "train.method", fmt.Sprintf("is %q, which trainer: native does not have", m), "sft or cpt, or trainer: trl with it", "")
	}
	preference := slices.Contains([]string{"dpo", "kto", "orpo", "grpo"}, m)
	v.check(t.Beta >= 0, "train.beta", fmt.Sprintf("is %v", t.Beta), "0 (the method's default) or more", "")
	v.check(t.Beta == 0 || preference, "train.beta", "has no meaning with method "+m, "dpo, kto, orpo or grpo with it", "")
	if m != "grpo" {
		for path, set := range map[string]bool{"group": t.Group != 0, "rollouts": t.Rollouts != (RolloutSpec{}), "rewards": len(t.Rewards) > 0} {
			v.check(!set, "train."+path, "has no meaning with method "+m, "method grpo with it", "")
		}
		return
	}
	v.check(t.Group == 0 || t.Group >= 2, "train.group", fmt.Sprintf("is %d", t.Group), "2 or more completions of a prompt, or 0 (8)", "")
	r := t.Rollouts
	v.check(r.MaxTokens >= 0, "train.rollouts.max_tokens", fmt.Sprintf("is %d", r.MaxTokens), "1 or more, or 0 (256)", "")
	v.check(r.Temperature >= 0, "train.rollouts.temperature", fmt.Sprintf("is %v", r.Temperature), "more than 0, or 0 (1): equal completions would teach nothing", "")
	for path, x := range map[string]float64{"top_p": r.TopP, "min_p": r.MinP} {
		v.check(x >= 0 && x <= 1, "train.rollouts."+path, fmt.Sprintf("is %v", x), "0 (off) to 1", "")
	}
	p.validateRewards(v)
}

// validateRewards wants metrics of eval.scorers that judge a completion.
func (p *Project) validateRewards(v *validator) {
	var metrics []string
	for i := range p.Eval.Scorers {
		s, err := evals.New(p.scorer(i))
		if err != nil {
			continue // said where the scorer stands
		}
		if _, likelihood := s.(evals.LikelihoodScorer); !likelihood {
			metrics = append(metrics, s.Metrics()...)
		}
	}
	v.check(len(p.Train.Rewards) > 0, "train.rewards", "is missing", "metrics of eval.scorers that reward a completion, such as [exact]", "")
	for i, name := range p.Train.Rewards {
		at := fmt.Sprintf("train.rewards[%d]", i)
		hint := didYouMean(name, metrics)
		if len(metrics) == 0 {
			hint = "name scorers under eval.scorers first"
		}
		v.check(slices.Contains(metrics, name), at, fmt.Sprintf("%q is no metric of eval.scorers that judges a completion", name), strings.Join(metrics, ", "), hint)
	}
}
