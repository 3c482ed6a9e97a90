package trl

import (
	"fmt"

	"dlm"
)

// What a method does when the recipe says nothing.
const (
	defaultBeta   = 0.1 // dpo, kto, orpo: TRL's own
	defaultGroup  = 8   // grpo: completions of a prompt
	defaultTokens = 256 // grpo: tokens of a completion
)

// checkMethod refuses what a method cannot do, and fills in its defaults.
func checkMethod(r dlm.Recipe) (dlm.Recipe, error) {
	refuse := func(field string, got any, expected string) error {
		return fmt.Errorf("recipe: %s is %v with method %s; expected %s", field, got, r.Method, expected)
	}
	if !(r.Beta >= 0) {
		return r, refuse("beta", r.Beta, "0 or more")
	}
	switch r.Method {
	case "kto":
		// The KL term is estimated from answers to other prompts of the same pass.
		switch {
		case r.BatchSize < 2:
			return r, refuse("batch_size", r.BatchSize, "2 or more")
		case r.MicroBatch == 1:
			return r, refuse("micro_batch", 1, "2 or more, or 0 (chosen)")
		}
		fallthrough
	case "dpo", "orpo":
		if r.Beta == 0 {
			r.Beta = defaultBeta
		}
	case "grpo":
		return checkGRPO(r, refuse)
	}
	return r, nil
}

func checkGRPO(r dlm.Recipe, refuse func(field string, got any, expected string) error) (dlm.Recipe, error) {
	s := &r.Rollouts
	if r.Group == 0 {
		r.Group = defaultGroup
	}
	if s.MaxTokens == 0 {
		s.MaxTokens = defaultTokens
	}
	if s.Temperature == 0 {
		s.Temperature = 1 // equal answers would teach nothing
	}
	switch {
	case r.Group < 2:
		return r, refuse("group", r.Group, "2 or more completions of a prompt, which are compared with each other")
	case s.MaxTokens < 1:
		return r, refuse("rollouts.max_tokens", s.MaxTokens, "1 or more")
	case s.Temperature < 0:
		return r, refuse("rollouts.temperature", s.Temperature, "more than 0")
	case len(s.Stop) > 0:
		return r, refuse("rollouts.stop", s.Stop, "none: completions end where the base ends a turn")
	case r.EarlyStopping.Patience > 0:
		return r, refuse("early_stopping", r.EarlyStopping.Patience, "none: there is no held-out loss")
	}
	return r, nil
}
