package optim

import (
	"fmt"
	"math"

	"dlm/engine/kernel"
)

// Schedule gives the learning rate of each step. The formulas are those of
// transformers (src/transformers/optimization.py, version 5.23:
// get_cosine_schedule_with_warmup with half a cosine,
// get_linear_schedule_with_warmup, get_constant_schedule_with_warmup), so the
// first of several warm-up steps has the rate 0.
type Schedule struct {
	Kind   string  // "cosine", "linear" or "constant"
	Peak   float64 // learning rate at the end of the warm-up
	Warmup int     // steps from 0 to Peak
	Total  int     // steps of the whole run
}

// Validate says what is wrong with the schedule, naming the field.
func (s Schedule) Validate() error {
	switch s.Kind {
	case "cosine", "linear", "constant":
	default:
		return fmt.Errorf("schedule %q: expected cosine, linear or constant", s.Kind)
	}
	if !(s.Peak > 0) || math.IsInf(s.Peak, 0) {
		return fmt.Errorf("lr %v: expected a positive number", s.Peak)
	}
	if s.Warmup < 0 {
		return fmt.Errorf("warmup %d: expected 0 or more steps", s.Warmup)
	}
	return nil
}

// LR returns the learning rate of step (counted from 0).
//
//	step < W:  Peak · step / max(1, W)
//	cosine:    Peak · max(0, ½ (1 + cos(π p)))   p = (step-W) / max(1, Total-W)
//	linear:    Peak · max(0, (Total-step) / max(1, Total-W))
//	constant:  Peak
func (s Schedule) LR(step int) float64 {
	if step < s.Warmup {
		return s.Peak * (float64(step) / float64(max(1, s.Warmup)))
	}
	rest := float64(max(1, s.Total-s.Warmup))
	switch s.Kind {
	case "cosine":
		p := float64(step-s.Warmup) / rest
		_, cos := kernel.SinCos64(math.Pi * p)
		return s.Peak * max(0, 0.5*(1+cos))
	case "linear":
		return s.Peak * max(0, float64(s.Total-step)/rest)
	}
	return s.Peak
}
