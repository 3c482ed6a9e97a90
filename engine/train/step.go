package train

import (
	"context"
	"fmt"
	"math"

	"dlm/engine/loss"
	"dlm/engine/model"
)

// pass is what a step needs of *model.Pass.
type pass interface {
	SetStep(step int)
	Forward(segs []model.Segment) error
	LogProbs(dst []float32, targets []model.Target)
	LogProbsGrad(dst []float32, targets []model.Target, dlogp []float32)
	Backward(targets []model.Target, dlogp []float32)
}

// batch holds the segments and targets of one pass; its memory is used again.
type batch struct {
	forest      model.Forest
	seqs        []model.Sequence
	targets     []model.Target // example after example
	logps, dlog []float32
}

// fill lays out the examples of some units: the row of an example's token r
// predicts its token r+1, so the rows end before the last target.
func (b *batch) fill(data []Example, p *packer, part []unit, adapter model.Adapter) {
	b.forest.Reset()
	b.targets = b.targets[:0]
	for _, u := range part {
		b.seqs = b.seqs[:0]
		for _, i := range p.order[u.lo:u.hi] {
			b.seqs = append(b.seqs, model.Sequence{IDs: p.groups.ids[i], Adapter: adapter, Example: i})
		}
		number := b.forest.Add(b.seqs...)
		for k, s := range b.seqs {
			e := data[s.Example]
			for t := 1; t <= len(s.IDs); t++ {
				if e.Mask[t] {
					b.targets = append(b.targets, model.Target{Row: b.forest.Row(number+k, t-1), ID: e.IDs[t]})
				}
			}
		}
	}
	for len(b.logps) < len(b.targets) {
		b.logps = append(b.logps, 0)
		b.dlog = append(b.dlog, 0)
	}
}

// forward computes the log-probabilities of the batch's targets.
func (b *batch) forward(p pass) (logps []float32, err error) {
	if err := p.Forward(b.forest.Segments); err != nil {
		return nil, err
	}
	logps = b.logps[:len(b.targets)]
	p.LogProbs(logps, b.targets)
	return logps, nil
}

// forwardSFT is forward for training: it also leaves the gradient of the SFT
// loss in the pass, for a Backward without targets.
func (b *batch) forwardSFT(p pass, targetsInBatch int) (logps []float32, err error) {
	if err := p.Forward(b.forest.Segments); err != nil {
		return nil, err
	}
	logps, dlog := b.logps[:len(b.targets)], b.dlog[:len(b.targets)]
	loss.SFTGrad(dlog, targetsInBatch)
	p.LogProbsGrad(logps, b.targets, dlog)
	return logps, nil
}

// stepResult is what one step did.
type stepResult struct {
	loss, norm, lr float64
	tokens         int
}

// step trains on the examples of step s and updates the adapter. An error leaves
// the adapter's masters as they were.
func (r *runner) step(ctx context.Context, s int) (stepResult, error) {
	idx := r.order.step(s)
	units := r.pack.canonical(idx, r.cfg.MaxLen)
	targets, tokens := 0, 0
	for _, i := range idx {
		targets += r.data[i].targets()
		tokens += len(r.data[i].IDs)
	}
	r.adapter.ZeroGrad()
	r.adapter.SetDropout(true, r.cfg.Seed)
	r.pass.SetStep(s)
	cuts := r.pack.cut(units, r.micro, r.microTokens)
	for m := range len(cuts) - 1 {
		if err := ctx.Err(); err != nil {
			return stepResult{}, err
		}
		part := units[cuts[m]:cuts[m+1]]
		examples := r.pack.examples(part)
		r.batch.fill(r.data, r.pack, part, r.adapter)
		logps, err := r.batch.forwardSFT(r.pass, targets)
		if err != nil {
			return stepResult{}, fmt.Errorf("step %d, examples %s: %w", s+1, names(r.data, examples), err)
		}
		if err := r.finite(s, examples, logps); err != nil {
			return stepResult{}, err
		}
		r.losses.add(r.data, examples, logps)
		r.pass.Backward(nil, nil)
	}
	res := stepResult{loss: r.losses.sum(idx) / float64(targets), lr: r.schedule.LR(s), tokens: tokens}
	res.norm = r.norm.Total()
	if !finite(res.norm) {
		return stepResult{}, r.diverged(s, idx, fmt.Sprintf("the gradient's norm is %v, in %s", res.norm, r.worstGradient()))
	}
	r.norm.Clip(res.norm, r.cfg.ClipNorm)
	r.opt.Update(res.lr)
	r.adapter.Repack(r.exec)
	return res, nil
}

// worstGradient names the first tensor whose gradient is not finite.
func (r *runner) worstGradient() string {
	for i, t := range r.tensors {
		if !finite(r.norm.Of(i)) {
			return t.Name
		}
	}
	return "the sum over all tensors"
}

// finite checks the log-probabilities of a pass, example by example.
func (r *runner) finite(s int, part []int, logps []float32) error {
	at := 0
	for _, i := range part {
		for range r.data[i].targets() {
			if !finite(float64(logps[at])) {
				return r.diverged(s, []int{i}, fmt.Sprintf("the loss is %v", -logps[at]))
			}
			at++
		}
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// DivergedError stops a run whose loss or gradient is not a number.
type DivergedError struct {
	Step     int      // that failed, counted from 1
	Examples []string // ids: of the one example, or of the whole step
	What     string
	advice   string
	shown    string
}

// Error says what happened, where, and what to try.
func (e *DivergedError) Error() string {
	return fmt.Sprintf("training diverged at step %d: %s; examples %s; %s", e.Step, e.What, e.shown, e.advice)
}

func (r *runner) diverged(s int, idx []int, what string) error {
	e := &DivergedError{Step: s + 1, What: what, shown: names(r.data, idx)}
	for _, i := range idx {
		e.Examples = append(e.Examples, r.data[i].ID)
	}
	e.advice = fmt.Sprintf("lower the learning rate (now %g)", r.cfg.LR)
	if r.cfg.ClipNorm == 0 {
		e.advice += ", set clip_norm to 1"
	}
	if r.cfg.Warmup == 0 {
		e.advice += ", add some warm-up steps"
	}
	e.advice += ", and look at these rows; the last checkpoint is intact"
	return e
}

// evaluate returns the mean loss over the targets of the held-out examples,
// without dropout. They share prefixes in any case: neither that nor how the
// passes are cut changes anything (engine law 2).
func (r *runner) evaluate(ctx context.Context, s int) (float64, error) {
	r.adapter.SetDropout(false, 0)
	targets := 0
	units := r.heldPack.canonical(r.heldOrder, r.cfg.MaxLen)
	cuts := r.heldPack.cut(units, 0, r.plan.MicroTokens)
	for m := range len(cuts) - 1 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		part := units[cuts[m]:cuts[m+1]]
		examples := r.heldPack.examples(part)
		r.batch.fill(r.held, r.heldPack, part, r.adapter)
		logps, err := r.batch.forward(r.pass)
		if err != nil {
			return 0, fmt.Errorf("evaluation after step %d, held-out examples %s: %w", s, names(r.held, examples), err)
		}
		r.heldLosses.add(r.held, examples, logps)
		targets += len(logps)
	}
	mean := r.heldLosses.sum(r.heldOrder) / float64(targets)
	if !finite(mean) {
		return 0, &DivergedError{Step: s, What: fmt.Sprintf("the loss over the held-out examples is %v", mean),
			shown: "of the held-out set", advice: fmt.Sprintf("lower the learning rate (now %g)", r.cfg.LR)}
	}
	return mean, nil
}
