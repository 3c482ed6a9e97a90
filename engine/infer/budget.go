package infer

import "time"

// Budget says how many rows of prompts a step may have beside sequences that
// decode, so that no step is longer than a target: the time from a stream's token
// to its next. It measures nothing itself: whoever runs the steps tells it how long
// each took.
//
// A step's time is taken for what decoding takes plus so much a row of a prompt.
// Both drift, with the sequences at once, with how long they are and with what else
// the machine does, so both are followed: from steps that have only one of them,
// where there are such, and in the others by the factor that the estimate was off.
// Steps that took longer than estimated are believed sooner than those that took less.
type Budget struct {
	target time.Duration
	most   int     // rows of a pass
	base   float64 // seconds that a step of decoding takes; 0 = not seen yet
	row    float64 // seconds more for each row of a prompt; 0 = not seen yet
	rows   int
}

const (
	budgetRise  = 0.5  // share of what a step took more than estimated that the estimates take on
	budgetFall  = 0.05 // the same of what it took less
	budgetSpare = 0.85 // of the target that is planned for
	budgetFirst = 32   // rows before anything is known
	budgetLeast = 8    // rows that prompts always have: else a target that decoding alone misses would stop them
)

// NewBudget returns a budget for steps that take at most target, in an engine whose
// passes have that many rows. Target 0 bounds nothing.
func NewBudget(target time.Duration, maxTokens int) *Budget {
	return &Budget{target: target, most: maxTokens, rows: min(budgetFirst, maxTokens)}
}

// Rows is the number of rows that prompts may have in the next step: what
// [Engine.SetPrefillRows] takes, 0 for no bound.
func (b *Budget) Rows() int {
	if b.target <= 0 {
		return 0
	}
	return b.rows
}

// Observe learns from a step that took that long. Steps in which nobody decodes
// hold up no stream: they say what a row takes, and nothing of decoding.
func (b *Budget) Observe(s StepInfo, took time.Duration) {
	if b.target <= 0 || s.Rows == 0 {
		return
	}
	t, prompts := took.Seconds(), float64(s.Prefill)
	switch {
	case s.Prefill == 0:
		b.base = follow(b.base, t)
	case s.Decoding == 0 || b.base == 0:
		b.row = follow(b.row, t/prompts)
	case b.row == 0:
		b.row = max(t-b.base, 0) / prompts
	default:
		off := t / (b.base + float64(b.row*prompts))
		b.base, b.row = follow(b.base, float64(b.base*off)), follow(b.row, float64(b.row*off))
	}
	if b.row == 0 {
		return
	}
	left := float64(budgetSpare*b.target.Seconds()) - b.base
	b.rows = min(max(int(left/b.row), budgetLeast), b.most)
}

// follow moves an estimate, 0 when there is none, towards what was measured.
func follow(estimate, measured float64) float64 {
	switch {
	case estimate == 0:
		return measured
	case measured > estimate:
		return estimate + float64(budgetRise*(measured-estimate))
	}
	return estimate + float64(budgetFall*(measured-estimate))
}
