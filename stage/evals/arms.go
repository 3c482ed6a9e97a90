package evals

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dlm"
)

// Arm is one way to answer the golden set. Make it with NewArm or AdapterArm.
type Arm struct {
	Name    string
	Adapter dlm.Digest // empty for baselines
	Dir     string     // adapter folder, empty for the base itself
	Shots   int        // nearest training rows put into the prompt

	index  *Index                     // of training rows, nil when not used
	answer func(item dlm.Item) string // for arms without a model
}

// ArmSpec names a baseline arm, as the project file states it.
type ArmSpec struct {
	Kind  string // "zero-shot", "few-shot", "nearest-copy" or "linear"
	Shots int    // of few-shot
	Label string // field that linear predicts; empty = "intent"
}

// ParseArm reads "zero-shot", "nearest-copy", "linear", or few-shot with its
// number of examples: "few-shot-4", "few-shot: 4" or "few-shot=4".
func ParseArm(s string) (ArmSpec, error) {
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(s, "few-shot"); ok {
		k, err := strconv.Atoi(strings.TrimLeft(rest, "-:= "))
		if err != nil || k < 1 || k > 64 {
			return ArmSpec{}, fmt.Errorf("arm %q: expected few-shot with 1 to 64 examples, for example few-shot-4", s)
		}
		return ArmSpec{Kind: "few-shot", Shots: k}, nil
	}
	if !slices.Contains([]string{"zero-shot", "nearest-copy", "linear"}, s) {
		return ArmSpec{}, fmt.Errorf("arm %q: unknown; expected zero-shot, few-shot-K, nearest-copy or linear", s)
	}
	return ArmSpec{Kind: s}, nil
}

// String returns the arm's name, as reports show it.
func (s ArmSpec) String() string {
	if s.Kind == "few-shot" {
		return "few-shot-" + strconv.Itoa(s.Shots)
	}
	return s.Kind
}

// NeedsRows says whether the arm uses training rows.
func (s ArmSpec) NeedsRows() bool { return s.Kind != "zero-shot" }

// NewArm makes a baseline arm. ix holds the training rows; only zero-shot does
// without it.
func NewArm(spec ArmSpec, ix *Index) (Arm, error) {
	arm := Arm{Name: spec.String()}
	if spec.NeedsRows() {
		if ix == nil {
			return arm, fmt.Errorf("arm %s needs training rows", arm.Name)
		}
		arm.index = ix
	}
	switch spec.Kind {
	case "zero-shot":
	case "few-shot":
		if spec.Shots < 1 {
			return arm, fmt.Errorf("arm few-shot needs a number of examples of at least 1")
		}
		arm.Shots = spec.Shots
	case "nearest-copy":
		arm.answer = func(item dlm.Item) string {
			if near := ix.Nearest(item, 1); len(near) > 0 {
				return near[0].Completion()
			}
			return "" // nothing in common with any row: no answer
		}
	case "linear":
		m, err := trainLinear(ix, spec.Label)
		if err != nil {
			return arm, err
		}
		arm.answer = m.predict
	default:
		return arm, fmt.Errorf("arm %q: unknown; expected zero-shot, few-shot, nearest-copy or linear", spec.Kind)
	}
	return arm, nil
}

// AdapterArm is an adapter asked the golden set's prompts as they are.
func AdapterArm(name string, id dlm.Digest, dir string) Arm {
	return Arm{Name: name, Adapter: id, Dir: dir}
}

// UsesModel says whether the arm asks the generator.
func (a Arm) UsesModel() bool { return a.answer == nil }

// complete answers an item without asking the generator.
func (a Arm) complete(item dlm.Item) string {
	return a.answer(item)
}

// Prompt returns the messages that the arm sends for an item: with few-shot the
// nearest training rows stand as earlier turns, the nearest last, between the
// item's system message and its conversation.
func (a Arm) Prompt(item dlm.Item) []dlm.Message {
	if a.Shots == 0 {
		return item.Messages
	}
	var out, rest []dlm.Message
	for i, m := range item.Messages {
		if m.Role != "system" || i > 0 {
			rest = append(rest, m)
			continue
		}
		out = append(out, m)
	}
	near := a.index.Nearest(item, a.Shots)
	slices.Reverse(near)
	for _, r := range near {
		for _, m := range rowPrompt(r) {
			if m.Role != "system" {
				out = append(out, m)
			}
		}
		out = append(out, dlm.Message{Role: "assistant", Content: r.Completion()})
	}
	return append(out, rest...)
}
