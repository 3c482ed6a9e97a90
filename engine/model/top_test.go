package model_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/model"
)

// TestTopAgainstNaive: the likeliest tokens of rows, with ties, are those of a
// sorted row, and their log-probabilities those that LogProbs gives them.
func TestTopAgainstNaive(t *testing.T) {
	m := load(t, "../testdata/tiny/llama-tied", kernel.BF16, 2)
	v := m.Config().Vocab
	r := rand.New(rand.NewPCG(1, 2))
	for _, k := range []int{0, 1, 2, 20, v} {
		for _, round := range []bool{false, true} {
			logits := make([]float32, v)
			for i := range logits {
				logits[i] = float32(r.NormFloat64() * 4)
				if round {
					logits[i] = float32(math.Round(float64(logits[i])))
				}
			}
			order := make([]int32, v)
			for i := range order {
				order[i] = int32(i)
			}
			slices.SortStableFunc(order, func(a, b int32) int {
				switch {
				case logits[a] > logits[b]:
					return -1
				case logits[a] < logits[b]:
					return 1
				}
				return 0
			})
			top := make([]model.Alternative, k)
			logp := m.LogSoftmaxTop(logits, 3, top)
			if logp != m.LogSoftmaxAt(logits, 3) {
				t.Errorf("LogSoftmaxTop gives %v, LogSoftmaxAt %v", logp, m.LogSoftmaxAt(logits, 3))
			}
			for i, a := range top {
				if a.ID != order[i] || a.LogProb != m.LogSoftmaxAt(logits, order[i]) {
					t.Fatalf("top %d, place %d: %+v, expected token %d with %v", k, i, a, order[i], m.LogSoftmaxAt(logits, order[i]))
				}
			}
		}
	}
}

// TestLogProbsTop: what LogProbsTop says of an alternative is what LogProbs says of
// that token as a target, and asking for alternatives changes no log-probability.
func TestLogProbsTop(t *testing.T) {
	m := load(t, "../testdata/tiny/llama-tied", kernel.BF16, 2)
	p := m.NewPass(40, 0, false)
	ids := make([]int32, 40)
	for i := range ids {
		ids[i] = int32(i * 3 % m.Config().Vocab)
	}
	if err := p.Forward([]model.Segment{{IDs: ids}}); err != nil {
		t.Fatal(err)
	}
	var targets, others []model.Target
	var tops [][]model.Alternative
	for i := range 39 {
		targets = append(targets, model.Target{Row: i, ID: ids[i+1]})
		tops = append(tops, make([]model.Alternative, i%4))
	}
	want, got := make([]float32, 39), make([]float32, 39)
	p.LogProbs(want, targets)
	p.LogProbsTop(got, targets, tops)
	if !slices.Equal(want, got) {
		t.Error("log-probabilities differ when alternatives are asked for")
	}
	var said []float32
	for i, top := range tops {
		for _, a := range top {
			others, said = append(others, model.Target{Row: i, ID: a.ID}), append(said, a.LogProb)
		}
	}
	check := make([]float32, len(others))
	p.LogProbs(check, others)
	if !slices.Equal(check, said) {
		t.Errorf("alternatives %v, as targets %v", said, check)
	}
}
