package trl

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"dlm"
)

// Methods are the ways of training that TRL has here.
var Methods = []string{"sft", "cpt", "dpo", "kto", "orpo", "grpo"}

// modules are the projections that LoRA can adapt: those that the native engine,
// which checks and serves the adapter, knows.
var modules = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// checkRecipe refuses what would fail late, on the other side, and fills in what
// may be left out.
func (t *TRL) checkRecipe(r dlm.Recipe) (dlm.Recipe, error) {
	if r.Method == "" {
		r.Method = "sft"
	}
	if r.Precision == "" {
		r.Precision = cmp.Or(t.o.Precision, "bf16")
	}
	if r.Schedule == "" {
		r.Schedule = "cosine"
	}
	if r.Checkpointing == "" {
		r.Checkpointing = "auto"
	}
	if len(r.TargetModules) == 0 {
		r.TargetModules = slices.Clone(modules)
	}
	refuse := func(field string, got any, expected string) error {
		return fmt.Errorf("recipe: %s is %v; expected %s", field, got, expected)
	}
	oneOf := func(field, got string, list []string) error {
		if slices.Contains(list, got) {
			return nil
		}
		return refuse(field, fmt.Sprintf("%q", got), "one of "+strings.Join(list, ", "))
	}
	for _, m := range r.TargetModules {
		if err := oneOf("target_modules", m, modules); err != nil {
			return r, err
		}
	}
	for _, err := range []error{
		oneOf("method", r.Method, Methods),
		oneOf("precision", r.Precision, []string{"bf16", "f32"}),
		oneOf("schedule", r.Schedule, []string{"cosine", "linear", "constant"}),
		oneOf("checkpointing", r.Checkpointing, []string{"auto", "on", "off"}),
		oneOf("quantize", orNone(t.o.Quantize), []string{"none", "nf4"}),
	} {
		if err != nil {
			return r, err
		}
	}
	switch {
	case r.Rank < 1 || r.Rank > 1024:
		return r, refuse("rank", r.Rank, "1 to 1024")
	case !(r.Alpha > 0):
		return r, refuse("alpha", r.Alpha, "more than 0")
	case r.BatchSize < 1:
		return r, refuse("batch_size", r.BatchSize, "1 or more")
	case r.MicroBatch < 0:
		return r, refuse("micro_batch", r.MicroBatch, "0 (chosen) or more")
	case !(r.LR > 0) || math.IsInf(r.LR, 0):
		return r, refuse("lr", r.LR, "more than 0")
	case r.MaxSteps < 0 || r.MaxSteps == 0 && !(r.Epochs > 0):
		return r, refuse("epochs", r.Epochs, "more than 0, or max_steps")
	case r.Dropout < 0 || r.Dropout >= 1:
		return r, refuse("dropout", r.Dropout, "0 or more, less than 1")
	}
	return checkMethod(r)
}

// steps is how many steps a run of n rows makes: the native engine's rule, and
// transformers' (an epoch's last step may see fewer rows).
func steps(r dlm.Recipe, n int) int {
	if r.MaxSteps > 0 {
		return r.MaxSteps
	}
	perEpoch := (n + r.BatchSize - 1) / r.BatchSize
	return max(1, int(math.Ceil(r.Epochs*float64(perEpoch)-1e-9)))
}
