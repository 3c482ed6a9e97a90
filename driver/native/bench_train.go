package native

import (
	"context"
	"fmt"
	"time"

	"dlm/engine/lora"
	"dlm/engine/loss"
	"dlm/engine/model"
	"dlm/engine/optim"
	"dlm/engine/train"
)

// TrainBench is the shape of a training benchmark: steps of LoRA over all
// projections on random tokens, loss on every token.
type TrainBench struct {
	Batch, Seq, Rank, Steps int
	Checkpointing           bool // layers compute their activations again instead of keeping them
}

// TrainBenchResult are its figures.
type TrainBenchResult struct {
	TokensPerSecond float64            `json:"tokens_per_second"` // over all steps but the first
	StepSeconds     []float64          `json:"step_seconds"`
	PeakRSS         int64              `json:"peak_rss_bytes"`
	PlannedBytes    map[string]int64   `json:"planned_bytes"`
	Loss            float64            `json:"loss"` // of the last step
	Kernels         string             `json:"kernels"`
	Threads         int                `json:"threads"`
	Shape           map[string]float64 `json:"shape"`
}

// benchTokens is how many tokens a pass of the benchmark takes, as the trainer's
// planner has it: the rows of a step follow in several passes.
const benchTokens = 512

// BenchTrain runs whole optimiser steps and times them: passes over some rows of
// the batch each, gradients accumulated, one update.
func (n *Native) BenchTrain(ctx context.Context, b TrainBench) (TrainBenchResult, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b.Batch < 1 || b.Seq < 2 || b.Rank < 1 || b.Steps < 1 {
		return TrainBenchResult{}, fmt.Errorf("batch %d, seq %d, rank %d, steps %d: each must be at least 1 (seq 2)", b.Batch, b.Seq, b.Rank, b.Steps)
	}
	ad := lora.New(n.m, lora.Config{Rank: b.Rank, Alpha: 2 * float64(b.Rank), Modules: lora.AllModules()}, 1)
	ad.EnableGrad()
	micro := min(b.Batch, max(1, benchTokens/b.Seq)) // rows a pass
	again := model.Recompute(0)
	if b.Checkpointing {
		again = n.m.Most()
	}
	pass := n.m.NewPass(micro*b.Seq, b.Rank, true, again)
	segs, targets := benchBatch(n.m.Config().Vocab, b, micro, ad)
	var tensors []optim.Tensor
	for _, p := range ad.Params() {
		tensors = append(tensors, optim.Tensor{Name: p.Name, Value: p.Value, Grad: p.Grad})
	}
	opt := optim.NewAdamW(tensors, optim.DefaultAdamW(), n.x)
	r := TrainBenchResult{Kernels: n.Kernels(), Threads: n.Threads(), Shape: map[string]float64{
		"batch": float64(b.Batch), "seq": float64(b.Seq), "rank": float64(b.Rank), "steps": float64(b.Steps)}}
	logps := make([]float32, len(targets))
	dlogp := make([]float32, len(targets))
	loss.SFTGrad(dlogp, len(targets))
	for range b.Steps {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		start := time.Now()
		ad.ZeroGrad()
		perRow := b.Seq - 1
		for lo := 0; lo < b.Batch; lo += micro {
			hi := min(b.Batch, lo+micro)
			if err := pass.Forward(segs[lo:hi]); err != nil {
				return r, err
			}
			at, end := lo*perRow, hi*perRow
			pass.LogProbsGrad(logps[at:end], targets[at:end], dlogp[at:end])
			pass.Backward(nil, nil)
		}
		opt.Update(1e-4)
		ad.Repack(n.x)
		r.StepSeconds = append(r.StepSeconds, time.Since(start).Seconds())
	}
	r.Loss = loss.SFT(0, logps) / float64(len(targets))
	r.TokensPerSecond = throughput(r.StepSeconds, b.Batch*b.Seq)
	r.PeakRSS = PeakBytes()
	r.PlannedBytes = train.PlanMemory(n.m, ad, micro*b.Seq, 0, again)
	return r, nil
}

// benchBatch makes rows of tokens that a counter decides. Targets name rows of
// their pass, which holds micro rows of the batch.
func benchBatch(vocab int, b TrainBench, micro int, ad model.Adapter) (segs []model.Segment, targets []model.Target) {
	state := uint64(1)
	for i := range b.Batch {
		ids := make([]int32, b.Seq)
		for j := range ids {
			state = step(state)
			ids[j] = int32(state >> 33 % uint64(vocab))
		}
		for j := 1; j < b.Seq; j++ {
			targets = append(targets, model.Target{Row: i%micro*b.Seq + j - 1, ID: ids[j]})
		}
		segs = append(segs, model.Segment{IDs: ids, Adapter: ad, Example: i})
	}
	return segs, targets
}

// throughput leaves the first step out when there are more: it touches memory
// for the first time.
func throughput(steps []float64, tokens int) float64 {
	if len(steps) > 1 {
		steps = steps[1:]
	}
	total := 0.0
	for _, s := range steps {
		total += s
	}
	return float64(tokens*len(steps)) / total
}
