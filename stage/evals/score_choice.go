package evals

import (
	"fmt"
	"math"

	"dlm"
)

// choiceScorer wants the target to be the likeliest of the item's choices, by
// the log-probability of each whole completion with its end-of-turn token. With
// normalise the sum is divided by the number of tokens or of bytes, so that
// longer choices are not at a disadvantage. Equal likelihoods go to the earlier
// choice.
type choiceScorer struct {
	metric    string
	normalise string
}

func newChoice(spec ScorerSpec) (Scorer, error) {
	switch spec.Normalise {
	case "", "tokens", "bytes":
	default:
		return nil, fmt.Errorf("option normalise: %q; expected tokens, bytes or nothing", spec.Normalise)
	}
	return choiceScorer{spec.metric("choice"), spec.Normalise}, nil
}

// Metrics returns the one metric's name.
func (s choiceScorer) Metrics() []string { return []string{s.metric} }

// Score says that text alone cannot be judged here: arms without a model have
// no log-probabilities.
func (s choiceScorer) Score(dlm.Item, string) map[string]dlm.Score {
	return map[string]dlm.Score{s.metric: unscored("this arm has no log-probabilities")}
}

// Candidates returns the item's choices.
func (s choiceScorer) Candidates(item dlm.Item) ([]string, bool) {
	return item.Choices, true
}

// Choose picks the likeliest choice.
func (s choiceScorer) Choose(item dlm.Item, scored []dlm.Scored) (map[string]dlm.Score, string) {
	if len(item.Choices) == 0 || len(scored) != len(item.Choices) {
		return map[string]dlm.Score{s.metric: unscored("the item has no choices")}, ""
	}
	best, bestAt := 0.0, -1
	for i, sc := range scored {
		v := sc.Sum
		switch s.normalise {
		case "tokens":
			v /= float64(max(1, len(sc.Tokens)))
		case "bytes":
			v /= float64(len(item.Choices[i]))
		}
		if math.IsNaN(v) {
			return map[string]dlm.Score{s.metric: unscored("the log-probability of %q is not a number", excerpt(item.Choices[i]))}, ""
		}
		if bestAt < 0 || v > best {
			best, bestAt = v, i
		}
	}
	chosen := item.Choices[bestAt]
	if chosen == item.Target {
		return map[string]dlm.Score{s.metric: right()}, chosen
	}
	return map[string]dlm.Score{s.metric: wrong("chose %q, want %q", excerpt(chosen), excerpt(item.Target))}, chosen
}
