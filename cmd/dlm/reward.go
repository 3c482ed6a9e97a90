package main

import (
	"context"
	"fmt"
	"slices"

	"dlm"
	"dlm/stage/evals"
)

// reward scores what grpo samples: the mean of the metrics that train.rewards
// names, against the row's own answer as target. nil for other methods.
func (l *pipeline) reward(rows []dlm.Row) (func(context.Context, []dlm.Rollout) ([]float64, error), error) {
	names := l.p.Train.Rewards
	if l.p.Train.Method != "grpo" {
		return nil, nil
	}
	all, err := evals.NewAll(l.p.Scorers())
	if err != nil {
		return nil, err
	}
	var scorers []evals.Scorer
	for _, s := range all {
		if slices.ContainsFunc(s.Metrics(), func(m string) bool { return slices.Contains(names, m) }) {
			scorers = append(scorers, s)
		}
	}
	return func(ctx context.Context, rollouts []dlm.Rollout) ([]float64, error) {
		out := make([]float64, len(rollouts))
		for i, r := range rollouts {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if r.Row < 0 || r.Row >= len(rows) {
				return nil, fmt.Errorf("a completion of row %d: there are %d rows", r.Row, len(rows))
			}
			if out[i], err = rewardOf(scorers, names, rows[r.Row], r); err != nil {
				return nil, err
			}
		}
		return out, nil
	}, nil
}

// rewardOf is the reward of one completion.
func rewardOf(scorers []evals.Scorer, names []string, row dlm.Row, r dlm.Rollout) (float64, error) {
	item := dlm.Item{ID: row.ID, Messages: row.Prompt(), Tags: row.Tags, Line: row.Line}
	if row.Kind() != dlm.RowPrompt {
		item.Target = row.Completion()
	}
	sum := 0.0
	for _, s := range scorers {
		for metric, score := range s.Score(item, r.Completion) {
			switch {
			case !slices.Contains(names, metric):
			case score.Unscored:
				return 0, fmt.Errorf("%s: no reward %s for its completion: %s; give the row an answer to compare with, or reward by a metric that needs none (regex with a pattern, json)", row.Where(r.Row), metric, score.Why)
			case score.Ratio && score.Den > 0:
				sum += score.Num / score.Den
			default:
				sum += score.Value
			}
		}
	}
	return sum / float64(len(names)), nil
}
