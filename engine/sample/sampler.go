package sample

import (
	"errors"
	"slices"

	"dlm/engine/kernel"
)

// ErrNotFinite means that the logits hold a NaN or no finite value at all: the
// weights or the adapter are broken.
var ErrNotFinite = errors.New("logits are not finite numbers; the weights or the adapter are broken")

// ErrNoneAllowed means that every token was ruled out by [Place].
var ErrNoneAllowed = errors.New("no token may come next")

// Sampler picks tokens. It holds scratch memory and is for one goroutine at a
// time; picks do not influence one another.
type Sampler struct {
	x      *kernel.Exec
	scores []float32 // [V] after bias, penalties, mask and temperature
	weight []float32 // [V] exp(score - max), so the most likely token weighs 1
	kept   []int32   // ids that survive, in the order of the draw
	heap   []float32 // the k largest scores, least first
}

// New returns a sampler for rows of vocab logits.
func New(x *kernel.Exec, vocab int) *Sampler {
	return &Sampler{
		x:      x,
		scores: make([]float32, vocab),
		weight: make([]float32, vocab),
		kept:   make([]int32, 0, vocab),
	}
}

// Place is where in a sequence a token is to be chosen.
type Place struct {
	Position int      // of the token, counted from the first token of the prompt
	History  *History // of the sequence; may be nil when no penalty is on
	Allowed  []uint64 // bit set of the tokens that may be chosen, id at bit id%64 of word id/64; nil = all
	Banned   []int32  // tokens that may not be chosen
}

// Pick chooses a token from logits [V], which it leaves as they are. It returns
// [ErrNoneAllowed] when the place allows no token.
func (s *Sampler) Pick(logits []float32, p Params, at Place) (int32, error) {
	scores := s.adjust(logits, p, at)
	if p.Greedy() {
		return s.argmax(logits, scores)
	}
	total, err := s.filter(logits, scores, p)
	if err != nil {
		return 0, err
	}
	return s.draw(total * Uniform(p.Seed, p.Sequence, uint64(at.Position))), nil
}

// adjust returns the logits with all that also moves a greedy choice: bias,
// penalties, and minus infinity for tokens that may not come. It returns logits
// itself when there is nothing to change.
func (s *Sampler) adjust(logits []float32, p Params, at Place) []float32 {
	penalises := p.Penalises() && at.History != nil
	if !penalises && len(p.Bias) == 0 && at.Allowed == nil && len(at.Banned) == 0 {
		return logits
	}
	scores := s.scores[:len(logits)]
	copy(scores, logits)
	for _, b := range p.Bias {
		if int(uint32(b.ID)) < len(scores) {
			scores[b.ID] += b.Value
		}
	}
	if penalises {
		at.History.penalise(scores, p)
	}
	if at.Allowed != nil {
		keepAllowed(scores, at.Allowed)
	}
	ban(scores, at.Banned)
	return scores
}

// unfit is the error of scores whose largest is not a finite number. Those of
// finite logits are so when every token is ruled out.
func (s *Sampler) unfit(logits []float32) error {
	if finite(float64(s.x.MaxRow(logits))) {
		return ErrNoneAllowed
	}
	return ErrNotFinite
}

// argmax returns the id of the largest score, the lowest id among equals.
func (s *Sampler) argmax(logits, scores []float32) (int32, error) {
	top := s.x.MaxRow(scores)
	if !finite(float64(top)) {
		return 0, s.unfit(logits)
	}
	return int32(slices.Index(scores, top)), nil
}

// filter applies temperature, top-k, top-p and min-p to scores. It leaves the
// surviving ids in s.kept, their weights in s.weight, and returns the sum of
// the survivors' weights.
func (s *Sampler) filter(logits, scores []float32, p Params) (float64, error) {
	tempered := s.scores[:len(scores)]
	t := float32(p.Temperature)
	for i, l := range scores {
		tempered[i] = l / t
	}
	top := s.x.MaxRow(tempered)
	if !finite(float64(top)) {
		return 0, s.unfit(logits)
	}
	weight := s.weight[:len(scores)]
	if sum := s.x.ExpSub(weight, tempered, top); !finite(float64(sum)) {
		return 0, ErrNotFinite
	}
	s.topK(tempered, p.TopK)
	if p.TopP > 0 && p.TopP < 1 {
		s.topP(tempered, p.TopP)
	}
	return s.minP(p.MinP), nil
}

// topK fills s.kept, in order of id, with the tokens whose score is at least
// the k-th largest; k = 0 keeps all. Tokens of weight zero are left out: they
// could never be drawn.
func (s *Sampler) topK(scores []float32, k int) {
	s.kept = s.kept[:0]
	if k == 0 || k >= len(scores) {
		for id := range scores {
			if s.weight[id] > 0 {
				s.kept = append(s.kept, int32(id))
			}
		}
		return
	}
	border := s.kthLargest(scores, k)
	for id, l := range scores {
		if l >= border && s.weight[id] > 0 {
			s.kept = append(s.kept, int32(id))
		}
	}
}

// kthLargest keeps the k largest scores in a heap with the least on top.
func (s *Sampler) kthLargest(scores []float32, k int) float32 {
	h := append(s.heap[:0], scores[:k]...)
	s.heap = h
	for i := k/2 - 1; i >= 0; i-- {
		siftDown(h, i)
	}
	for _, l := range scores[k:] {
		if l > h[0] {
			h[0] = l
			siftDown(h, 0)
		}
	}
	return h[0]
}

func siftDown(h []float32, i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1] < h[c] {
			c++
		}
		if h[i] <= h[c] {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

// topP shortens s.kept to the nucleus: in falling order of likelihood, tokens
// while the mass before them is less than p of the whole.
//
// Sorting the whole vocabulary costs milliseconds, and the nucleus is usually a
// handful of tokens. So only those above a threshold are sorted, and the
// threshold falls until they carry the mass: a prefix of the full order either way.
func (s *Sampler) topP(scores []float32, p float64) {
	total := 0.0
	for _, id := range s.kept {
		total += float64(s.weight[id])
	}
	target := p * total
	all := len(s.kept)
	for border := float32(1. / 64); ; border /= 1024 {
		if border < 1e-12 {
			border = 0
		}
		n, mass := s.partition(s.kept[:all], border)
		if mass < target && n < all && border > 0 {
			continue
		}
		head := s.kept[:n]
		slices.SortFunc(head, func(a, b int32) int {
			switch {
			case scores[a] > scores[b]:
				return -1
			case scores[a] < scores[b]:
				return 1
			}
			return int(a - b)
		})
		end, before := 0, 0.0
		for end < n && before < target {
			before += float64(s.weight[head[end]])
			end++
		}
		if before < target && n < all {
			continue // the sums of the two orders differed in their last bits
		}
		s.kept = s.kept[:end]
		return
	}
}

// partition moves the ids whose weight is at least border to the front of ids
// and returns their number and the sum of their weights.
func (s *Sampler) partition(ids []int32, border float32) (n int, mass float64) {
	for i, id := range ids {
		if w := s.weight[id]; w >= border {
			ids[i], ids[n] = ids[n], id
			n++
			mass += float64(w)
		}
	}
	return n, mass
}

// minP drops from s.kept what weighs less than m (the most likely token weighs
// 1) and returns the sum of the weights that stay, in the order of the draw.
func (s *Sampler) minP(m float64) (total float64) {
	n := 0
	for _, id := range s.kept {
		if w := float64(s.weight[id]); w >= m {
			s.kept[n] = id
			n++
			total += w
		}
	}
	s.kept = s.kept[:n]
	return total
}

// draw returns the first kept token at which the running sum of weights
// exceeds r, which lies in [0, total).
func (s *Sampler) draw(r float64) int32 {
	sum := 0.0
	for _, id := range s.kept {
		if sum += float64(s.weight[id]); r < sum {
			return id
		}
	}
	return s.kept[len(s.kept)-1]
}
