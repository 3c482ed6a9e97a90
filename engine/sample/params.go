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
	case p.PresencePenalty != 0 || p.FrequencyPenalty != 0 || len(p.Bias) > 0:
		return fmt.Errorf("presence_penalty, frequency_penalty and logit_bias are not here yet")
	}
	return nil
}

// Penalises reports whether a repetition penalty is on, so that a [History] is needed.
func (p Params) Penalises() bool { return p.RepetitionPenalty != 0 && p.RepetitionPenalty != 1 }

// Greedy reports whether the choice is the most likely token.
func (p Params) Greedy() bool { return p.Temperature == 0 }

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// History is the set of distinct tokens that a sequence holds so far, prompt
// included: what a repetition penalty looks at.
type History struct {
	ids  []int32  // in order of first appearance
	seen []uint64 // bit set over the vocabulary
}

// NewHistory returns an empty history over a vocabulary of that size.
func NewHistory(vocab int) *History {
	return &History{seen: make([]uint64, (vocab+63)/64)}
}

// Add puts ids in; those outside the vocabulary are left out.
func (h *History) Add(ids ...int32) {
	for _, id := range ids {
		w := int(uint32(id) / 64)
		if w >= len(h.seen) {
			continue
		}
		if bit := uint64(1) << (uint32(id) % 64); h.seen[w]&bit == 0 {
			h.seen[w] |= bit
			h.ids = append(h.ids, id)
		}
	}
}

// Len is the number of distinct tokens.
func (h *History) Len() int { return len(h.ids) }
