package model_test

import (
	"path/filepath"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/model"
)

// TestStepAllocatesNothing holds engine law 5: forward, log-probabilities and
// backward of a pass that has run once before take no memory.
func TestStepAllocatesNothing(t *testing.T) {
	for _, dir := range []string{"llama-tied", "qwen3"} {
		t.Run(dir, func(t *testing.T) { stepAllocatesNothing(t, dir) })
	}
}

func stepAllocatesNothing(t *testing.T, dir string) {
	g := readGolden(t, filepath.Join(tinyDir, dir, "golden.json"))
	// One thread: a worker that parks on a busy machine makes the runtime allocate.
	m := load(t, filepath.Join(tinyDir, dir), kernel.BF16, 1)
	ad := loadPEFT(t, filepath.Join(tinyDir, dir, "adapter"), m, true)
	for _, lo := range ad.loras {
		lo.Dropout, lo.Seed = 0.1, 1
	}
	var segs []model.Segment
	var targets []model.Target
	row := 0
	for i, r := range g.SFT.Rows {
		segs = append(segs, model.Segment{IDs: r.IDs, Adapter: ad, Example: i})
		targets = append(targets, model.Target{Row: row, ID: r.IDs[1]})
		row += len(r.IDs)
	}
	// Two rows more, which continue the first one.
	for i := range 2 {
		first := g.SFT.Rows[0].IDs
		segs = append(segs, model.Segment{IDs: first[:5+i], Start: len(first), Parent: 1, Adapter: ad})
		row += 5 + i
	}
	logps, dlogp := make([]float32, len(targets)), make([]float32, len(targets))
	var p *model.Pass
	step := func() {
		if err := p.Forward(segs); err != nil {
			t.Fatal(err)
		}
		p.LogProbs(logps, targets)
		p.LogProbsGrad(logps, targets, dlogp)
		p.Backward(nil, nil)
		p.Backward(targets, dlogp)
	}
	for _, again := range []model.Recompute{0, m.Most()} {
		p = m.NewPass(row, 4, true, again)
		step()
		if n := testing.AllocsPerRun(3, step); n > 0 {
			t.Errorf("a step that computes %d layers again allocates %v times", again, n)
		}
	}
}
