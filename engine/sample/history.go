package sample

// History is which tokens a sequence holds so far: what penalties look at.
type History struct {
	ids  []int32  // distinct, prompt and completion, in order of first appearance
	seen []uint64 // bit set of ids

	own    []int32  // distinct, of the completion, in order of first appearance
	counts []uint32 // [V] how often the completion holds each
}

// NewHistory returns an empty history over a vocabulary of that size.
func NewHistory(vocab int) *History {
	return &History{seen: make([]uint64, (vocab+63)/64), counts: make([]uint32, vocab)}
}

// AddPrompt puts in tokens of the prompt; those outside the vocabulary are left out.
func (h *History) AddPrompt(ids ...int32) {
	for _, id := range ids {
		if int(uint32(id)) >= len(h.counts) {
			continue
		}
		if w, bit := &h.seen[id/64], uint64(1)<<(id%64); *w&bit == 0 {
			*w |= bit
			h.ids = append(h.ids, id)
		}
	}
}

// Add puts in tokens of the completion; those outside the vocabulary are left out.
func (h *History) Add(ids ...int32) {
	h.AddPrompt(ids...)
	for _, id := range ids {
		if int(uint32(id)) >= len(h.counts) {
			continue
		}
		if h.counts[id] == 0 {
			h.own = append(h.own, id)
		}
		h.counts[id]++
	}
}

// Len is the number of distinct tokens.
func (h *History) Len() int { return len(h.ids) }

// penalise makes what the sequence holds less likely: every distinct token once
// by the repetition penalty, then those of the completion by frequency and presence.
func (h *History) penalise(scores []float32, p Params) {
	if p.repeats() {
		r := float32(p.RepetitionPenalty)
		for _, id := range h.ids {
			if l := scores[id]; l < 0 {
				scores[id] = l * r
			} else {
				scores[id] = l / r
			}
		}
	}
	frequency, presence := float32(p.FrequencyPenalty), float32(p.PresencePenalty)
	if frequency == 0 && presence == 0 {
		return
	}
	for _, id := range h.own {
		l := scores[id] - float32(frequency*float32(h.counts[id])) // not one fused operation
		scores[id] = l - presence
	}
}
