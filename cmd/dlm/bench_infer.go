package main

import "dlm/driver/native"

// benchInferFlags are what the benchmarks of the serving engine share.
type benchInferFlags struct {
	Model     string `required:"" help:"Base model." placeholder:"REF"`
	Batch     int    `default:"1" help:"Sequences at once."`
	Adapters  int    `default:"0" help:"Random adapters made in memory, dealt out to the sequences in turn; 0: the base itself."`
	Rank      int    `default:"16" help:"Rank of the adapters, on all projections."`
	Reps      int    `default:"3" help:"Calls that are timed, after one that is not."`
	Precision string `enum:"bf16,f32" default:"bf16" help:"bf16 or f32."`
}

// benchPrefillCmd times prompts.
type benchPrefillCmd struct {
	benchInferFlags
	Prompt int `default:"512" help:"Tokens of a prompt."`
}

func (c *benchPrefillCmd) Run(a *app) error {
	n, _, err := a.openBase(c.Model, c.Precision)
	if err != nil {
		return err
	}
	r, err := n.BenchPrefill(a.ctx, native.InferBench{Batch: c.Batch, Prompt: c.Prompt, Adapters: c.Adapters, Rank: c.Rank, Reps: c.Reps})
	if err != nil {
		return err
	}
	a.finish(r, func() {
		a.printf("%.0f tokens/s, peak memory %s, kernels %s, %d threads\n", r.TokensPerSecond, byteSize(r.PeakRSS), r.Kernels, r.Threads)
	})
	return nil
}

// benchDecodeCmd times completions.
type benchDecodeCmd struct {
	benchInferFlags
	Prompt int `default:"32" help:"Tokens of a prompt."`
	Tokens int `default:"96" help:"Tokens of a completion."`
}

func (c *benchDecodeCmd) Run(a *app) error {
	n, _, err := a.openBase(c.Model, c.Precision)
	if err != nil {
		return err
	}
	r, err := n.BenchDecode(a.ctx, native.InferBench{
		Batch: c.Batch, Prompt: c.Prompt, Tokens: c.Tokens, Adapters: c.Adapters, Rank: c.Rank, Reps: c.Reps,
	})
	if err != nil {
		return err
	}
	a.finish(r, func() {
		a.printf("%.0f tokens/s while all decode, %.0f with the prompts; a token after %.2f ms (median; 99%%: %.2f); first token after %.0f ms; peak memory %s, kernels %s, %d threads\n",
			r.TokensPerSecond, r.WholeTokensPerSecond, r.TokenMS["p50"], r.TokenMS["p99"], r.FirstTokenMS, byteSize(r.PeakRSS), r.Kernels, r.Threads)
	})
	return nil
}
