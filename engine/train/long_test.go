package train

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/lora"
	"dlm/engine/model"
	"dlm/engine/weights"
)

// TestLongStep is the backward pass over one row of up to the real base's whole
// context, with checkpointing: along the gradient the loss rises as the
// gradient says (a central difference).
func TestLongStep(t *testing.T) {
	path := realBase(t)
	n, err := strconv.Atoi(os.Getenv("DLM_TEST_LONG"))
	if err != nil || n < 2 {
		t.Skip("takes minutes: set DLM_TEST_LONG to the tokens of the row, 8192 for the whole context")
	}
	ck, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	x, err := kernel.New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	m, err := model.Load(ck, x, kernel.F32)
	if err != nil {
		t.Fatal(err)
	}
	const rank = 4
	n = min(n, m.Config().MaxSeq)
	ad := lora.New(m, lora.Config{Rank: rank, Alpha: 2 * rank, Modules: lora.AllModules()}, 1)
	r := rand.New(rand.NewPCG(1, 2))
	for _, p := range ad.Params() {
		for i := range p.Value {
			p.Value[i] += float32(r.NormFloat64()) * 0.01
		}
	}
	ad.EnableGrad()
	ad.Repack(x)
	ids, targets := make([]int32, n), make([]model.Target, 0, n-1)
	for i := range ids {
		ids[i] = int32(r.IntN(2000))
		if i > 0 {
			targets = append(targets, model.Target{Row: i - 1, ID: ids[i]})
		}
	}
	pass := m.NewPass(n, rank, true, m.Most())
	logps, dlogp := make([]float32, len(targets)), make([]float32, len(targets))
	for i := range dlogp {
		dlogp[i] = -1 / float32(len(targets))
	}
	loss := func(grad bool) (l float64) {
		if err := pass.Forward([]model.Segment{{IDs: ids, Adapter: ad}}); err != nil {
			t.Fatal(err)
		}
		if grad {
			pass.LogProbsGrad(logps, targets, dlogp)
			pass.Backward(nil, nil)
		} else {
			pass.LogProbs(logps, targets)
		}
		for _, lp := range logps {
			l -= float64(lp) / float64(len(logps))
		}
		return l
	}
	loss(true)
	square := 0.0
	for _, p := range ad.Params() {
		for _, g := range p.Grad {
			square += float64(g) * float64(g)
		}
	}
	norm := math.Sqrt(square)
	move := func(step float64) {
		for _, p := range ad.Params() {
			for i, g := range p.Grad {
				p.Value[i] += float32(step / norm * float64(g))
			}
		}
		ad.Repack(x)
	}
	const step = 0.01
	move(step)
	up := loss(false)
	move(-2 * step)
	down := loss(false)
	slope := (up - down) / (2 * step)
	t.Logf("gradient norm %.6g, the loss's slope along it %.6g (losses %.6f, %.6f)", norm, slope, down, up)
	if !(math.Abs(slope-norm) <= 0.01*norm) {
		t.Errorf("the loss rises by %g along a gradient of norm %g", slope, norm)
	}
}
