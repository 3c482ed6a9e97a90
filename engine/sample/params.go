package sample

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Params says how tokens are chosen. The zero value is greedy.
type Params struct {
	Temperature       float64 // 0 = greedy
	TopK              int     // 0 = off
	TopP              float64 // 0 or 1 = off
	MinP              float64 // 0 = off
	RepetitionPenalty float64 // 0 or 1 = off; of tokens in prompt and completion
	PresencePenalty   float64 // 0 = off; of tokens in the completion, once
	FrequencyPenalty  float64 // 0 = off; of tokens in the completion, as often as they are there
	Bias              []Bias  // added to logits; at most one of an id, see [Biases]
	Seed              uint64  // of the draws
	Sequence          uint64  // tells several completions of one prompt and seed apart
}

// Bias is what is added to the logit of one token.
type Bias struct {
	ID    int32
	Value float32
}

// Biases lists a map's values in order of id.
func Biases(m map[int32]float64) []Bias {
	out := make([]Bias, 0, len(m))
	for _, id := range slices.Sorted(maps.Keys(m)) {
		out = append(out, Bias{id, float32(m[id])})
	}
	return out
}

// Validate checks every field and names the one at fault.
func (p Params) Validate() error {
	switch {
	case !finite(p.Temperature) || p.Temperature < 0:
		return fmt.Errorf("temperature %v: expected 0 (greedy) or a positive number such as 0.7", p.Temperature)
	case p.TopK < 0:
		return fmt.Errorf("top_k %d: expected 0 (off) or a positive count", p.TopK)
	case !finite(p.TopP) || p.TopP < 0 || p.TopP > 1:
		return fmt.Errorf("top_p %v: expected a probability from 0 to 1 (0 and 1 are off)", p.TopP)
	case !finite(p.MinP) || p.MinP < 0 || p.MinP > 1:
		return fmt.Errorf("min_p %v: expected a probability from 0 to 1 (0 is off)", p.MinP)
	case !finite(p.RepetitionPenalty) || p.RepetitionPenalty < 0:
		return fmt.Errorf("repetition_penalty %v: expected a positive number (1 is off, 1.1 is mild)", p.RepetitionPenalty)
	case !finite(p.PresencePenalty):
		return fmt.Errorf("presence_penalty %v: expected a number (0 is off, 0.5 is mild, -0.5 makes repeating likelier)", p.PresencePenalty)
	case !finite(p.FrequencyPenalty):
		return fmt.Errorf("frequency_penalty %v: expected a number (0 is off, 0.5 is mild, -0.5 makes repeating likelier)", p.FrequencyPenalty)
	}
	for _, b := range p.Bias {
		if !finite(float64(b.Value)) {
			return fmt.Errorf("logit_bias of token %d is %v: expected a number (-100 bans the token)", b.ID, b.Value)
		}
	}
	return nil
}

// Penalises reports whether a penalty is on, so that a [History] is needed.
func (p Params) Penalises() bool {
	return p.repeats() || p.PresencePenalty != 0 || p.FrequencyPenalty != 0
}

// repeats reports whether the repetition penalty is on.
func (p Params) repeats() bool { return p.RepetitionPenalty != 0 && p.RepetitionPenalty != 1 }

// Greedy reports whether the choice is the most likely token. A temperature
// below 1e-5 counts as 0: logits divided by it would not be numbers any more.
func (p Params) Greedy() bool { return p.Temperature < 1e-5 }

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
