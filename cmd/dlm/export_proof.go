package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"dlm"
	"dlm/stage/evals"
	"dlm/stage/gate"
)

// scoredItems is how many golden items' right answers are scored by both engines:
// llama.cpp takes a question a token.
const scoredItems = 16

// prove asks the golden set of base and adapter here, and of what was written in
// the engine that will run it, and lets the gate decide whether it moved.
func (e *export) prove(open prover) error {
	p := e.l.p
	scorers, err := evals.NewAll(p.Scorers())
	if err != nil {
		return err
	}
	engine, gen, scorer, stop, err := open(e)
	if err != nil {
		return fmt.Errorf("proof: %w; or export without one: --no-proof", err)
	}
	defer func() { _ = stop() }() // what it said matters, not how it ended
	log := evalLog{a: e.a}
	ask := func(arm evals.Arm, g dlm.Generator, s dlm.Scorer) (dlm.Report, error) {
		return evals.Run(e.a.ctx, g, evals.Job{
			Golden: e.l.golden.ID, Base: e.l.base.ID, Items: e.l.items, Arms: []evals.Arm{arm}, Scorers: scorers,
			Primary: p.Eval.Primary, Sampling: p.Sampling(), Batch: e.l.evalBatch(), LogProbs: s, Seed: 1, OnSample: log.sample,
		})
	}
	here := evals.AdapterArm("native", "", e.dir)
	if e.rec.Adapter != nil {
		here.Adapter = e.rec.Adapter.ID
	}
	rep, err := ask(here, e.n, e.n)
	if err != nil {
		return err
	}
	there, err := ask(evals.AdapterArm("exported", "", ""), gen, scorer)
	if err != nil {
		return fmt.Errorf("proof through %s: %w", engine, err)
	}
	rep.Arms, rep.Notes = append(rep.Arms, there.Arms...), append(rep.Notes, there.Notes...)
	pr := exportProof{Engine: engine, Golden: rep.Golden, Items: rep.Items, Metric: rep.Primary, Same: sameAnswers(rep.Arms[0], rep.Arms[1])}
	pr.Native, _ = rep.Arms[0].Metric(rep.Primary)
	pr.Exported, _ = rep.Arms[1].Metric(rep.Primary)
	if scorer != nil {
		if pr.LogProbs, err = e.compare(scorer); err != nil {
			return fmt.Errorf("proof through %s: %w", engine, err)
		}
	}
	pr.Verdict, err = gate.DecideReports(gate.Side{Report: rep, Arm: "exported"}, gate.Side{Report: rep, Arm: "native"}, gate.Options{
		Metric: rep.Primary, Margin: float64(p.Gate.MaxDrop), Level: p.Gate.Level, Seed: 1,
	})
	if err != nil {
		return err
	}
	policy, err := gate.ParsePolicy(p.Gate.OnInconclusive)
	if err != nil {
		return err
	}
	if pr.Exit, _ = gate.Exit(pr.Verdict, policy); pr.Same == pr.Items {
		pr.Exit = exitOK // few items leave the gate in doubt, but here nothing moved at all
	}
	e.rec.Proof = &pr
	return writeTo(filepath.Join(e.part, reportJSON), func(f *os.File) error { return evals.WriteJSON(f, rep) })
}

// sameAnswers counts the items that both arms answered by the same text.
func sameAnswers(a, b dlm.Arm) (n int) {
	for i, s := range a.Samples {
		if s.Completion == b.Samples[i].Completion {
			n++
		}
	}
	return n
}

// compare scores the right answers of a few items by both engines.
func (e *export) compare(s dlm.Scorer) (*logProbGap, error) {
	var here, there []dlm.ScoreRequest
	for _, it := range e.l.items[:min(scoredItems, len(e.l.items))] {
		r := dlm.ScoreRequest{Messages: it.Messages, Completion: it.Target, EndOfTurn: true}
		there = append(there, r)
		r.Adapter = e.dir
		here = append(here, r)
	}
	x, err := e.n.Score(e.a.ctx, here)
	if err != nil {
		return nil, err
	}
	y, err := s.Score(e.a.ctx, there)
	if err != nil {
		return nil, err
	}
	g := &logProbGap{Items: len(here)}
	for i := range x {
		for j := range min(len(x[i].Tokens), len(y[i].Tokens)) {
			d := math.Abs(x[i].Tokens[j].LogProb - y[i].Tokens[j].LogProb)
			g.Tokens, g.Mean, g.Largest = g.Tokens+1, g.Mean+d, max(g.Largest, d)
		}
	}
	g.Mean /= float64(max(1, g.Tokens))
	return g, nil
}
