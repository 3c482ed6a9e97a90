package main

import (
	"dlm"
	"dlm/driver/native"
)

// generateCmd answers one prompt.
type generateCmd struct {
	askFlags
	promptFlags
	samplingFlags
	Logprobs bool `help:"Show the log-probability of each token."`
}

func (c *generateCmd) Run(a *app) error {
	msgs, raw, err := c.read(a)
	if err != nil {
		return err
	}
	n, dir, err := c.openAnswerer(a)
	if err != nil {
		return err
	}
	req := dlm.GenerateRequest{Messages: msgs, Raw: raw, Adapter: dir, Sampling: c.sampling()}
	var emit func(int, dlm.Token)
	if a.terminal() && !c.Logprobs && !a.flags.JSON {
		emit = func(_ int, t dlm.Token) { a.printf("%s", t.Text) }
	}
	out, err := n.Generate(a.ctx, []dlm.GenerateRequest{req}, emit)
	if err != nil {
		return err
	}
	a.finish(out[0], func() {
		switch {
		case c.Logprobs:
			a.printTokens(out[0].Tokens)
		case emit == nil:
			a.printf("%s", out[0].Text)
		}
		a.printf("\n")
		a.notef("%d prompt tokens, %d generated, finish: %s, %.2f s", out[0].PromptTokens, len(out[0].Tokens), out[0].Finish, out[0].Latency.Seconds())
	})
	return nil
}

func (a *app) printTokens(toks []dlm.Token) {
	for _, t := range toks {
		a.printf("%7d  %12.6f  %q\n", t.ID, t.LogProb, t.Text)
	}
}

// logprobsCmd gives the log-probability of each token of a completion.
type logprobsCmd struct {
	askFlags
	promptFlags
	Completion string `required:"" help:"The completion to score."`
	EndOfTurn  bool   `help:"Also score the end-of-turn token after it."`
	Training   bool   `help:"Score it a second time through the training pass and compare, bit for bit."`
}

// logprobsOut is the command's JSON.
type logprobsOut struct {
	Tokens        []dlm.Token `json:"tokens"`
	Sum           float64     `json:"sum"`
	TrainingSum   *float64    `json:"training_sum,omitempty"`
	MaxDifference *float64    `json:"max_difference,omitempty"`
}

func (c *logprobsCmd) Run(a *app) error {
	msgs, raw, err := c.read(a)
	if err != nil {
		return err
	}
	n, dir, err := c.openAnswerer(a)
	if err != nil {
		return err
	}
	req := dlm.ScoreRequest{Messages: msgs, Raw: raw, Completion: c.Completion, EndOfTurn: c.EndOfTurn, Adapter: dir}
	scored, err := n.Score(a.ctx, []dlm.ScoreRequest{req})
	if err != nil {
		return err
	}
	out := logprobsOut{Tokens: scored[0].Tokens, Sum: scored[0].Sum}
	if c.Training {
		engine, ok := n.(*native.Native)
		if !ok {
			return usageError("--training: only the native engine has a training pass; leave it out, or give --engine native")
		}
		trained, err := engine.ScoreAsTrained(a.ctx, req)
		if err != nil {
			return err
		}
		d := largestDifference(scored[0].Tokens, trained.Tokens)
		out.TrainingSum, out.MaxDifference = &trained.Sum, &d
	}
	a.finish(out, func() {
		a.printTokens(out.Tokens)
		a.printf("sum %.6f over %d tokens\n", out.Sum, len(out.Tokens))
		if c.Training {
			a.printf("served %.9f, trained %.9f, largest difference of a token: %v\n", out.Sum, *out.TrainingSum, *out.MaxDifference)
		}
	})
	return nil
}

func largestDifference(a, b []dlm.Token) float64 {
	if len(a) != len(b) {
		return 1e300 // not the same tokens: nothing could be further apart
	}
	d := 0.0
	for i := range a {
		d = max(d, a[i].LogProb-b[i].LogProb, b[i].LogProb-a[i].LogProb)
	}
	return d
}
