package gate

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"dlm"
)

// systems draws two arms on n items: each item has its own difficulty, the
// baseline is right with that chance, and the candidate agrees with it except
// that it breaks right answers and mends wrong ones with the given chances. With
// size > 1 a cluster's items share their luck.
func systems(rng *rand.Rand, n, size int, breaks, mends float64) (cand, base dlm.Arm) {
	var c, b []float64
	var names []string
	var luck [2]float64
	for i := range n {
		if i%size == 0 {
			luck = [2]float64{rng.Float64(), rng.Float64()}
		}
		u := luck
		if size == 1 || rng.Float64() < 0.3 {
			u = [2]float64{rng.Float64(), rng.Float64()}
		}
		vb := 0.0
		if u[0] < 0.6 {
			vb = 1
		}
		vc := vb
		if (vb == 1 && u[1] < breaks) || (vb == 0 && u[1] < mends) {
			vc = 1 - vb
		}
		c, b = append(c, vc), append(b, vb)
		names = append(names, fmt.Sprint(i/size))
	}
	if size == 1 {
		names = nil
	}
	return arm("cand", c, names), arm("base", b, names)
}

// count runs gates and counts their outcomes.
func count(t *testing.T, gates int, seed uint64, o Options, draw func(*rand.Rand) (dlm.Arm, dlm.Arm)) map[dlm.Outcome]int {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	out := map[dlm.Outcome]int{}
	for range gates {
		c, b := draw(rng)
		out[decide(t, c, b, o).Outcome]++
	}
	return out
}

// TestEqualSystems: of 200 gates on two equally good systems at most 19 may
// fail falsely, also with a margin of zero, where a fail is easiest.
func TestEqualSystems(t *testing.T) {
	for _, c := range []struct {
		margin float64
		n      int
	}{{0.02, 200}, {0.02, 1000}, {0, 200}, {0, 1000}} {
		// 0.6 x 0.10 broken = 0.4 x 0.15 mended: no difference, 12% discordant.
		got := count(t, 200, 1, Options{Margin: c.margin}, func(r *rand.Rand) (dlm.Arm, dlm.Arm) {
			return systems(r, c.n, 1, 0.10, 0.15)
		})
		t.Logf("equal systems, margin %v, %d items: of 200 gates %v", c.margin, c.n, got)
		if got[dlm.Fail] > 19 {
			t.Errorf("margin %v, %d items: %d of 200 fail falsely, at most 19 allowed", c.margin, c.n, got[dlm.Fail])
		}
	}
}

// TestFalsePass: a candidate worse by exactly the margin passes in at most
// about 2.5% of gates, the error that the level promises.
func TestFalsePass(t *testing.T) {
	for _, size := range []int{1, 4} {
		// Margin 0.05: 0.6 x 0.15 - 0.4 x 0.10 = 0.05.
		got := count(t, 1000, 2, Options{Margin: 0.05}, func(r *rand.Rand) (dlm.Arm, dlm.Arm) {
			return systems(r, 240, size, 0.15, 0.10)
		})
		t.Logf("worse by the margin, clusters of %d: of 1000 gates %v", size, got)
		if got[dlm.Pass] > 40 { // 2.5% of 1000 and three standard errors
			t.Errorf("clusters of %d: %d of 1000 pass falsely, want about 25", size, got[dlm.Pass])
		}
		if got[dlm.Pass] == 0 {
			t.Errorf("clusters of %d: not one passes; the test is far too strict", size)
		}
	}
}

// TestPower: what is plainly better passes, and a planted bad adapter fails.
func TestPower(t *testing.T) {
	good := count(t, 200, 3, Options{Margin: 0.02}, func(r *rand.Rand) (dlm.Arm, dlm.Arm) {
		return systems(r, 200, 1, 0.08, 0.45) // +13 points
	})
	t.Logf("13 points better: of 200 gates %v", good)
	if good[dlm.Pass] < 190 {
		t.Errorf("13 points better: only %d of 200 pass", good[dlm.Pass])
	}
	bad := count(t, 200, 4, Options{Margin: 0.02}, func(r *rand.Rand) (dlm.Arm, dlm.Arm) {
		return systems(r, 200, 1, 0.40, 0.10) // -20 points
	})
	t.Logf("20 points worse: of 200 gates %v", bad)
	if bad[dlm.Fail] < 195 || bad[dlm.Pass] > 0 {
		t.Errorf("planted bad adapter: of 200 gates %v", bad)
	}
}

// TestGradedSimulation is TestEqualSystems and TestPower for graded scores.
func TestGradedSimulation(t *testing.T) {
	draw := func(shift float64) func(*rand.Rand) (dlm.Arm, dlm.Arm) {
		return func(r *rand.Rand) (dlm.Arm, dlm.Arm) {
			var c, b []float64
			for range 120 {
				base := r.Float64()
				b = append(b, base)
				c = append(c, min(1, max(0, base+shift+0.3*(r.Float64()-0.5))))
			}
			return arm("cand", c, nil), arm("base", b, nil)
		}
	}
	equal := count(t, 60, 5, Options{Margin: 0.02}, draw(0))
	bad := count(t, 30, 6, Options{Margin: 0.02}, draw(-0.15))
	t.Logf("graded: equal, of 60 %v; worse by about 13 points, of 30 %v", equal, bad)
	if equal[dlm.Fail] > 5 {
		t.Errorf("%d of 60 equal pairs fail falsely", equal[dlm.Fail])
	}
	if bad[dlm.Fail] < 29 {
		t.Errorf("only %d of 30 bad candidates fail", bad[dlm.Fail])
	}
}
