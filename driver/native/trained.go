package native

import (
	"context"

	"dlm"
	"dlm/engine/infer"
	"dlm/engine/model"
)

// ScoreAsTrained is Score through the pass that training runs: whole sequences,
// no cache, every activation kept. Its log-probabilities equal Score's to the
// last bit (engine laws 1 and 2); it exists so that a user can see that.
func (n *Native) ScoreAsTrained(ctx context.Context, r dlm.ScoreRequest) (dlm.Scored, error) {
	in := infer.ScoreRequest{}
	var err error
	if in.IDs, in.From, err = n.Completed(r.Messages, r.Raw, r.Completion, r.EndOfTurn); err != nil {
		return dlm.Scored{}, err
	}
	h, err := n.adapter(ctx, r.Adapter, false)
	if err != nil {
		return dlm.Scored{}, err
	}
	if h != nil {
		defer n.shelf.release(h)
		in.Adapter = h.a
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return dlm.Scored{}, err
	}
	p := n.m.NewPass(len(in.IDs), adapterRank(in.Adapter, n.m.Config().Layers), true)
	if err := p.Forward([]model.Segment{{IDs: in.IDs, Adapter: in.Adapter}}); err != nil {
		return dlm.Scored{}, err
	}
	completion := in.IDs[in.From:]
	targets := make([]model.Target, len(completion))
	for i, id := range completion {
		targets[i] = model.Target{Row: in.From - 1 + i, ID: id}
	}
	logps := make([]float32, len(targets))
	p.LogProbs(logps, targets)
	out := dlm.Scored{Tokens: n.tokens(completion)}
	for i, lp := range logps {
		out.Tokens[i].LogProb = float64(lp)
		out.Sum += float64(lp)
	}
	return out, nil
}

// adapterRank is the largest rank of an adapter's projections, 0 without one.
func adapterRank(a model.Adapter, layers int) int {
	rank := 0
	if a == nil {
		return rank
	}
	for l := range layers {
		for m := range model.NumModules {
			if lo := a.Projection(l, m); lo != nil {
				rank = max(rank, lo.Rank)
			}
		}
	}
	return rank
}
