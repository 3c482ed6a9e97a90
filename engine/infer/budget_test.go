package infer

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// machine is one whose steps take so much for decoding, so much for each of its
// sequences, and so much a row of a prompt; up to a fifth of each is noise.
type machine struct {
	base, sequence, row float64 // milliseconds
	r                   *rand.Rand
}

func (m *machine) step(s StepInfo) time.Duration {
	t := 0.0
	if s.Decoding > 0 {
		t = m.base + m.sequence*float64(s.Decoding)
	}
	t += m.row * float64(s.Prefill)
	return time.Duration(t * (1 + 0.2*m.r.Float64()) * 1e6)
}

// TestBudgetKeepsToItsTarget: with prompts that never end beside streams, on machines
// of different speed that get slower and faster meanwhile, 99 steps in 100 keep to
// the target, and the prompts get most of what it leaves.
func TestBudgetKeepsToItsTarget(t *testing.T) {
	for name, m := range map[string]machine{
		"quick": {base: 2, sequence: 0.1, row: 0.2},
		"slow":  {base: 12, sequence: 0.3, row: 0.6},
		"small": {base: 0.1, sequence: 0.01, row: 0.01},
	} {
		t.Run(name, func(t *testing.T) {
			m.r = rand.New(rand.NewPCG(1, 2))
			const target = 50 * time.Millisecond
			b := NewBudget(target, 512)
			var took []time.Duration
			rows, could := 0, 0.0
			for i := range 4000 {
				decoding := 4 + i/500%2*8 // comes and goes
				slower := 1 + 0.5*float64(i/1000%2)
				now := machine{m.base * slower, m.sequence * slower, m.row * slower, m.r}
				s := StepInfo{Decoding: decoding, Rows: decoding}
				if i%20 > 1 { // a prompt under way, most of the time
					s.Prefill = b.Rows()
					s.Rows += s.Prefill
				}
				d := now.step(s)
				b.Observe(s, d)
				if i < 20 {
					continue
				}
				took = append(took, d)
				if s.Prefill > 0 {
					rows += s.Prefill
					could += min(512, (float64(target.Milliseconds())/1.1-now.base-now.sequence*float64(decoding))/now.row)
				}
			}
			slices.Sort(took)
			if p99 := took[len(took)*99/100]; p99 > target*105/100 {
				t.Errorf("99 steps of 100 take up to %v, the target is %v", p99, target)
			}
			if share := float64(rows) / could; share < 0.6 {
				t.Errorf("prompts get %.0f%% of the rows that the target leaves, expected most", 100*share)
			}
		})
	}
}

func TestBudgetAlwaysLeavesSome(t *testing.T) {
	b := NewBudget(10*time.Millisecond, 512)
	for range 100 {
		b.Observe(StepInfo{Rows: 8, Decoding: 8}, time.Second)
		b.Observe(StepInfo{Rows: 8 + b.Rows(), Prefill: b.Rows(), Decoding: 8}, 2*time.Second)
	}
	if b.Rows() < 1 {
		t.Errorf("%d rows: where decoding alone misses the target, prompts would never be read", b.Rows())
	}
	if none := NewBudget(0, 512); none.Rows() != 0 {
		t.Errorf("without a target prompts are held to %d rows", none.Rows())
	}
	small := NewBudget(time.Second, 4)
	small.Observe(StepInfo{Rows: 4, Prefill: 4}, time.Millisecond)
	if small.Rows() != 4 {
		t.Errorf("%d rows in passes of 4", small.Rows())
	}
}
