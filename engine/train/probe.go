package train

import (
	"context"
	"fmt"
	"time"

	"dlm/engine/lora"
	"dlm/engine/model"
)

// Probe measures the speed of training on this machine, in tokens a second: the
// largest pass of the first step is run forward and backward twice, and the
// second time counts. The adapter's values do not change.
func Probe(ctx context.Context, m *model.Model, a *lora.Adapter, data []Example, cfg Config) (float64, error) {
	cfg.Epochs, cfg.MaxSteps, cfg.EarlyStop = 0, 1, EarlyStop{}
	r, err := newRunner(m, a, data, nil, cfg)
	if err != nil {
		return 0, err
	}
	r.pass = m.NewPass(r.plan.MicroTokens, a.Rank(), true, model.Recompute(r.plan.Recomputed))
	a.EnableGrad()
	defer a.ZeroGrad()
	units := r.pack.canonical(r.order.step(0), r.cfg.MaxLen)
	cuts := r.pack.cut(units, r.micro, r.microTokens)
	part := units[cuts[0]:cuts[1]]
	tokens := 0
	for _, i := range r.pack.examples(part) {
		tokens += len(data[i].IDs)
	}
	var took time.Duration
	for range 2 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		begin := time.Now()
		r.batch.fill(data, r.pack, part, a)
		if _, err := r.batch.forwardSFT(r.pass, len(r.batch.targets)); err != nil {
			return 0, fmt.Errorf("probe: %w", err)
		}
		r.pass.Backward(nil, nil)
		took = time.Since(begin)
	}
	return float64(tokens) / took.Seconds(), nil
}
