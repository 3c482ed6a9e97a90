package main

import "dlm/driver/native"

// benchTrainCmd times whole optimiser steps.
type benchTrainCmd struct {
	Model         string `required:"" help:"Base model." placeholder:"REF"`
	Batch         int    `default:"4" help:"Rows a step."`
	Seq           int    `default:"512" help:"Tokens a row."`
	Rank          int    `default:"16" help:"Rank of the adapter, on all projections."`
	Steps         int    `default:"4" help:"Steps; the first is not counted when there are more."`
	Checkpointing bool   `help:"Compute activations again in the backward pass instead of keeping them: long rows in little memory."`
	Precision     string `enum:"bf16,f32" default:"bf16" help:"bf16 or f32."`
}

func (c *benchTrainCmd) Run(a *app) error {
	n, _, err := a.openBase(c.Model, c.Precision)
	if err != nil {
		return err
	}
	r, err := n.BenchTrain(a.ctx, native.TrainBench{Batch: c.Batch, Seq: c.Seq, Rank: c.Rank, Steps: c.Steps, Checkpointing: c.Checkpointing})
	if err != nil {
		return err
	}
	a.finish(r, func() {
		a.printf("%.1f tokens/s, peak memory %s, loss %.4f, kernels %s, %d threads\n", r.TokensPerSecond, byteSize(r.PeakRSS), r.Loss, r.Kernels, r.Threads)
	})
	return nil
}
