package train

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dlm/engine/kernel"
	"dlm/engine/lora"
)

// early is a run whose held-out loss rises after a while, so that it ends early.
func early() Config {
	c := resumable()
	c.LR, c.MaxSteps, c.EvalEvery, c.SaveEvery = 0.3, 40, 1, 3
	c.EarlyStop = EarlyStop{Patience: 3}
	return c
}

func TestProgress(t *testing.T) {
	for _, c := range []struct {
		losses []float64
		delta  float64
		last   float64
		since  int
	}{
		{nil, 0, 0, 0},
		{[]float64{3}, 0, 3, 0},
		{[]float64{3, 2, 2.5, 2.2}, 0, 2, 2},
		{[]float64{3, 2, 2.5, 1.9}, 0, 1.9, 0},
		{[]float64{3, 3, 3}, 0, 3, 2},                       // equal is no progress
		{[]float64{3, 2.95, 2.85}, 0.1, 2.85, 0},            // small steps add up
		{[]float64{3, 2.95, 2.92}, 0.1, 3, 2},               //
		{[]float64{3, 2, 1, 1.5, 1.4, 1.3, 1.2}, 0.1, 1, 4}, // from below the best nothing counts
	} {
		var evals []Eval
		for i, l := range c.losses {
			evals = append(evals, Eval{i + 1, l})
		}
		if last, since := (EarlyStop{MinDelta: c.delta}).progress(evals); last.Loss != c.last || since != c.since {
			t.Errorf("%v with %v: last progress %v, %d since; expected %v and %d", c.losses, c.delta, last.Loss, since, c.last, c.since)
		}
		if (EarlyStop{}).stops(evals) {
			t.Errorf("%v: stops without being asked to", c.losses)
		}
	}
}

// TestEarlyStopEnds: the run ends with the patience, keeps the best, says why,
// and did nothing else than a run that goes on.
func TestEarlyStopEnds(t *testing.T) {
	var told []Event
	a, res, err := start(t, context.Background(), t.TempDir(), early(), func(e Event) {
		if e.Kind == "stop" {
			told = append(told, e)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !res.StoppedEarly || res.Steps >= 40 || res.Steps != res.BestStep+3 || len(res.Losses) != res.Steps {
		t.Fatalf("%+v: expected an early stop three evaluations after the best", res)
	}
	if len(told) != 1 || told[0].Step != res.Steps || !strings.Contains(told[0].Text, fmt.Sprintf("in 3 evaluations the held-out loss has not fallen below that of step %d", res.BestStep)) {
		t.Errorf("told %+v", told)
	}
	long := early()
	long.EarlyStop = EarlyStop{}
	_, all, err := start(t, context.Background(), t.TempDir(), long, nil)
	if err != nil {
		t.Fatal(err)
	}
	if all.StoppedEarly || all.Steps != 40 || !slices.Equal(all.Evals[:len(res.Evals)], res.Evals) {
		t.Errorf("without early stopping the evaluations are %v, with it %v", all.Evals, res.Evals)
	}
	last := early()
	last.KeepBest = false
	b, lastRes, err := start(t, context.Background(), t.TempDir(), last, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastRes.Steps != res.Steps || lastRes.BestStep != res.Steps || lastRes.EvalLoss != res.Evals[len(res.Evals)-1].Loss || valueHash(a) == valueHash(b) {
		t.Errorf("without keep_best: %+v; expected the adapter of the last step", lastRes)
	}
}

// TestEarlyStopResumes cuts the run off, by SIGKILL and by cancelling, before the
// stop, at its evaluation and after it; each time it ends as one in one go.
func TestEarlyStopResumes(t *testing.T) {
	want, wantRes := whole(t, early())
	stop := wantRes.Steps
	check := func(t *testing.T, dir string) {
		t.Helper()
		a, res, err := start(t, context.Background(), dir, early(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if valueHash(a) != want || !slices.Equal(res.Evals, wantRes.Evals) || !slices.Equal(res.Losses, wantRes.Losses) ||
			res.Steps != stop || !res.StoppedEarly || res.BestStep != wantRes.BestStep {
			t.Errorf("ended as %+v, in one go %+v", res, wantRes)
		}
	}
	for _, at := range []string{fmt.Sprintf("EVENT step %d", stop-1), fmt.Sprintf("EVENT eval %d", stop), fmt.Sprintf("EVENT checkpoint %d", stop)} {
		t.Run("killed at "+at, func(t *testing.T) {
			dir := t.TempDir()
			killed(t, "early", dir, at, time.Millisecond)
			check(t, dir)
			check(t, dir) // and a finished one again
		})
	}
	for _, kind := range []string{"step", "eval"} {
		t.Run("cancelled after the last "+kind, func(t *testing.T) {
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			_, _, err := start(t, ctx, dir, early(), func(e Event) {
				if e.Kind == kind && e.Step == stop {
					cancel()
				}
			})
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			check(t, dir)
		})
	}
	dir := t.TempDir()
	if _, _, err := start(t, context.Background(), dir, early(), nil); err != nil {
		t.Fatal(err)
	}
	other := early()
	other.EarlyStop.Patience = 9
	if _, _, err := start(t, context.Background(), dir, other, nil); err == nil || !strings.Contains(err.Error(), "early_stopping") {
		t.Errorf("resuming with another patience: %v", err)
	}
}

func TestEarlyStopRefuses(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	data := synthetic(4, m.Config().Vocab)
	for _, c := range []struct {
		change func(c *Config)
		held   []Example
		want   string
	}{
		{func(c *Config) { c.EvalEvery = 0 }, data, "eval_every"},
		{func(*Config) {}, nil, "held-out"},
		{func(c *Config) { c.EarlyStop.Patience = -1 }, data, "patience"},
		{func(c *Config) { c.EarlyStop = EarlyStop{MinDelta: 0.1} }, data, "patience"},
		{func(c *Config) { c.EarlyStop.MinDelta = -0.1 }, data, "min_delta"},
	} {
		cfg := early()
		c.change(&cfg)
		a := lora.New(m, adapterConfig(), 3)
		if _, err := Run(context.Background(), m, a, data, c.held, cfg, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v; want one that says %q", err, c.want)
		}
	}
}
