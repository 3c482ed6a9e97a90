package native

import (
	"fmt"
	"slices"

	"dlm"
	"dlm/engine/lora"
	"dlm/engine/model"
)

// The probe's text: what any assistant could say, so that it tells nothing of the
// rows that an adapter was trained on. An adapter that learnt anything gives it
// other log-probabilities than its base.
const (
	probePrompt     = "Hello, how are you?"
	probeCompletion = "I am well, thank you. How can I help you today?"
)

// Probe computes the probe of the adapter in dir, or of the base alone when dir is
// empty. Adapter folders that this package wrote hold it in dlm.ProbeFile.
func (n *Native) Probe(dir string) (dlm.Probe, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if dir == "" {
		return n.probe(nil)
	}
	_, p, err := n.masters(dir)
	return p, err
}

// probe runs the probe's text with and without the adapter (nil: without only).
// It refuses an adapter whose logits are no numbers, or the base's although B is
// not zero.
func (n *Native) probe(a *lora.Adapter) (dlm.Probe, error) {
	ids := n.probeIDs()
	p := dlm.Probe{Precision: n.Precision(), IDs: ids}
	segments := []model.Segment{{IDs: ids}}
	rank := 0
	if a != nil {
		segments, rank, p.Zero = append(segments, model.Segment{IDs: ids, Adapter: a}), a.Rank(), a.Zero()
	}
	pass := n.m.NewPass(len(segments)*len(ids), rank, false)
	if err := pass.Forward(segments); err != nil {
		return p, err
	}
	if a != nil {
		if err := n.moves(pass, len(ids), a.Zero()); err != nil {
			return p, err
		}
	}
	targets := make([]model.Target, 0, len(segments)*len(ids))
	for s := range segments {
		for i, id := range ids[1:] {
			targets = append(targets, model.Target{Row: s*len(ids) + i, ID: id})
		}
	}
	logps := make([]float32, len(targets))
	pass.LogProbs(logps, targets)
	all := make([]float64, len(logps))
	for i, v := range logps {
		all[i] = float64(v)
	}
	p.Base, p.Adapter = all[:len(ids)-1], all[len(ids)-1:]
	return p, nil
}

// probeIDs are the ids of the probe's text: a conversation where the base has a
// template that takes it, plain text otherwise.
func (n *Native) probeIDs() []int32 {
	ids, _, err := n.Completed([]dlm.Message{{Role: "user", Content: probePrompt}}, "", probeCompletion, true)
	if err != nil {
		ids = n.plain(probePrompt + "\n" + probeCompletion)
	}
	return ids[:min(len(ids), n.context)]
}

// moves compares the last logits of two segments of rows tokens each, the base's
// and the adapter's.
func (n *Native) moves(p *model.Pass, rows int, zero bool) error {
	v := n.m.Config().Vocab
	logits := make([]float32, 2*v)
	p.LogitsRows(logits, []int{rows - 1, 2*rows - 1})
	base, adapted := logits[:v], logits[v:]
	for i, l := range adapted {
		if l-l != 0 {
			return fmt.Errorf("a probe prompt gave the logit %v for token %d; the adapter is damaged or its training diverged", l, i)
		}
	}
	if slices.Equal(base, adapted) && !zero {
		return fmt.Errorf("a probe prompt gave exactly the base's logits although its B matrices are not zero; it would be served as the base itself (is its scale zero, or are its values below bf16's resolution?)")
	}
	return nil
}
