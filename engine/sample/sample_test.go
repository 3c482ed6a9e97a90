package sample

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"dlm/engine/kernel"
)

func exec(t testing.TB) *kernel.Exec {
	t.Helper()
	x, err := kernel.New(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

// naive is the distribution that transformers would draw from, in f64, written
// from the formulas alone: bias, penalties, mask, temperature, top-k with ties,
// top-p, min-p. allowed and banned are those of the place, nil = all and none.
func naive(logits []float32, p Params, prompt, completion []int32, allowed map[int32]bool, banned []int32) []float64 {
	l := make([]float64, len(logits))
	for i, v := range logits {
		l[i] = float64(v)
	}
	for _, b := range p.Bias {
		l[b.ID] += float64(b.Value)
	}
	if p.RepetitionPenalty != 0 {
		done := map[int32]bool{}
		for _, id := range slices.Concat(prompt, completion) {
			if done[id] {
				continue
			}
			done[id] = true
			if l[id] < 0 {
				l[id] *= p.RepetitionPenalty
			} else {
				l[id] /= p.RepetitionPenalty
			}
		}
	}
	for id := range l {
		n := 0
		for _, c := range completion {
			if int(c) == id {
				n++
			}
		}
		l[id] -= p.FrequencyPenalty * float64(n)
		if n > 0 {
			l[id] -= p.PresencePenalty
		}
		if allowed != nil && !allowed[int32(id)] || slices.Contains(banned, int32(id)) {
			l[id] = math.Inf(-1)
		}
	}
	if p.Temperature == 0 {
		best := 0
		for i := range l {
			if l[i] > l[best] {
				best = i
			}
		}
		out := make([]float64, len(l))
		out[best] = 1
		return out
	}
	for i := range l {
		l[i] /= p.Temperature
	}
	if p.TopK > 0 && p.TopK < len(l) {
		sorted := slices.Clone(l)
		slices.Sort(sorted)
		border := sorted[len(l)-p.TopK]
		for i := range l {
			if l[i] < border {
				l[i] = math.Inf(-1)
			}
		}
	}
	if p.TopP > 0 && p.TopP < 1 {
		probs := softmax(l)
		order := make([]int, len(l))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case l[a] > l[b]:
				return -1
			case l[a] < l[b]:
				return 1
			}
			return 0
		})
		before := 0.0
		for _, i := range order {
			if before >= p.TopP {
				l[i] = math.Inf(-1)
			}
			before += probs[i]
		}
	}
	if p.MinP > 0 {
		probs := softmax(l)
		top := slices.Max(probs)
		for i := range l {
			if probs[i] < p.MinP*top {
				l[i] = math.Inf(-1)
			}
		}
	}
	return softmax(l)
}

func softmax(l []float64) []float64 {
	top, sum := slices.Max(l), 0.0
	out := make([]float64, len(l))
	for i, v := range l {
		out[i] = math.Exp(v - top)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

func randomLogits(r *rand.Rand, n int, spread float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64() * spread)
	}
	return out
}

var settings = map[string]Params{
	"temperature":  {Temperature: 0.7},
	"hot":          {Temperature: 3},
	"top-k":        {Temperature: 1, TopK: 7},
	"top-k 1":      {Temperature: 1, TopK: 1},
	"top-k larger": {Temperature: 1, TopK: 100000},
	"top-p":        {Temperature: 1, TopP: 0.9},
	"top-p tiny":   {Temperature: 1, TopP: 1e-9},
	"top-p near 1": {Temperature: 2, TopP: 0.99999},
	"min-p":        {Temperature: 1.5, MinP: 0.1},
	"min-p 1":      {Temperature: 1, MinP: 1},
	"penalty":      {Temperature: 1, RepetitionPenalty: 1.3},
	"penalty < 1":  {Temperature: 1, RepetitionPenalty: 0.8},
	"presence":     {Temperature: 1, PresencePenalty: 0.7},
	"frequency":    {Temperature: 1, FrequencyPenalty: 0.4},
	"likelier":     {Temperature: 1, FrequencyPenalty: -0.4, PresencePenalty: -0.5},
	"bias":         {Temperature: 1, Bias: []Bias{{0, 2.5}, {1, -100}}},
	"all":          {Temperature: 0.8, TopK: 40, TopP: 0.95, MinP: 0.02, RepetitionPenalty: 1.1, PresencePenalty: 0.3, FrequencyPenalty: 0.2, Bias: []Bias{{0, 1}}},
	"greedy":       {},
	"greedy, pen":  {RepetitionPenalty: 1.5},
	"greedy, freq": {FrequencyPenalty: 2, PresencePenalty: 1},
	"greedy, bias": {Bias: []Bias{{0, -100}, {1, 100}}},
}

// TestDistributionAgainstNaive compares what Pick draws from with the naive f64
// version: the same tokens survive and their probabilities agree. With and without
// tokens that may not come.
func TestDistributionAgainstNaive(t *testing.T) {
	x := exec(t)
	r := rand.New(rand.NewPCG(1, 2))
	for name, p := range settings {
		for _, n := range []int{2, 5, 130, 1000} {
			for _, spread := range []float64{0.01, 1, 8} {
				for _, share := range []float64{1, 0.97, 0.3, 0.001} { // of tokens that may come
					logits := randomLogits(r, n, spread)
					var prompt, own []int32
					at := Place{Position: 3, History: NewHistory(n)}
					for range 10 {
						prompt, own = append(prompt, int32(r.IntN(n))), append(own, int32(r.IntN(n)))
					}
					at.History.AddPrompt(prompt...)
					at.History.Add(own...)
					allowed := randomMask(r, n, share, &at)
					if share < 1 {
						at.Banned = []int32{int32(r.IntN(n))}
						if allowed[at.Banned[0]] && len(allowed) == 1 {
							at.Banned = nil
						}
					}
					s := New(x, n)
					want := naive(logits, p, prompt, own, allowed, at.Banned)
					got := distribution(t, s, logits, p, at)
					for id := range want {
						if d := math.Abs(want[id] - got[id]); d > 2e-5*want[id]+1e-9 && !onBorder(want[id], got[id], p) {
							t.Fatalf("%s, %d tokens, spread %v, %v allowed: token %d has probability %v, naive %v", name, n, spread, share, id, got[id], want[id])
						}
					}
				}
			}
		}
	}
}

// randomMask allows about that share of n tokens, and at least one; nil for all.
func randomMask(r *rand.Rand, n int, share float64, at *Place) map[int32]bool {
	if share == 1 {
		return nil
	}
	allowed := map[int32]bool{}
	at.Allowed = make([]uint64, (n+63)/64)
	one := r.IntN(n)
	for id := range n {
		if id == one || r.Float64() < share {
			allowed[int32(id)] = true
			at.Allowed[id/64] |= 1 << (id % 64)
		}
	}
	return allowed
}

// onBorder allows for a token that top-p keeps in one arithmetic and not in the
// other, which needs the mass before it to equal p to about seven digits.
func onBorder(want, got float64, p Params) bool {
	return p.TopP > 0.9999 && math.Abs(want-got) < 1e-5
}

// distribution is what Pick draws from, read off the sampler's state.
func distribution(t *testing.T, s *Sampler, logits []float32, p Params, at Place) []float64 {
	t.Helper()
	before := slices.Clone(logits)
	id, err := s.Pick(logits, p, at)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, logits) {
		t.Fatal("Pick changed the logits")
	}
	out := make([]float64, len(logits))
	if p.Greedy() {
		out[id] = 1
		return out
	}
	total := 0.0
	for _, k := range s.kept {
		total += float64(s.weight[k])
	}
	for _, k := range s.kept {
		out[k] = float64(s.weight[k]) / total
	}
	if out[id] == 0 {
		t.Fatalf("picked token %d, which is not among the kept", id)
	}
	return out
}

func TestGreedyTakesLowestIDAmongEquals(t *testing.T) {
	s := New(exec(t), 6)
	for _, c := range []struct {
		logits []float32
		want   int32
	}{
		{[]float32{1, 3, 3, 2, 3, 0}, 1},
		{[]float32{-1, -1, -1, -1, -1, -1}, 0},
		{[]float32{float32(math.Inf(-1)), -2, -1, -1, -5, -1}, 2},
		{[]float32{0, 0, 0, 0, 0, 1}, 5},
	} {
		got, err := s.Pick(c.logits, Params{}, Place{Position: 0})
		if err != nil || got != c.want {
			t.Errorf("%v: picked %d (%v), expected %d", c.logits, got, err, c.want)
		}
	}
}

func TestTopKKeepsTies(t *testing.T) {
	s := New(exec(t), 5)
	if _, err := s.Pick([]float32{2, 1, 1, 1, 0}, Params{Temperature: 1, TopK: 2}, Place{Position: 0}); err != nil {
		t.Fatal(err)
	}
	if want := []int32{0, 1, 2, 3}; !slices.Equal(s.kept, want) {
		t.Errorf("kept %v, expected %v", s.kept, want)
	}
}

// TestFrequencies draws 40,000 times and compares the counts with the naive
// distribution by a chi-square statistic.
func TestFrequencies(t *testing.T) {
	x := exec(t)
	logits := randomLogits(rand.New(rand.NewPCG(3, 4)), 30, 1.5)
	const draws = 40000
	for _, p := range []Params{
		{Temperature: 1, Seed: 1},
		{Temperature: 0.8, TopP: 0.9, Seed: 99},
		{Temperature: 1.2, TopK: 12, MinP: 0.05, Seed: 5},
	} {
		s := New(x, len(logits))
		counts := make([]float64, len(logits))
		for pos := range draws {
			id, err := s.Pick(logits, p, Place{Position: pos})
			if err != nil {
				t.Fatal(err)
			}
			counts[id]++
		}
		chi2, cells := 0.0, 0
		for id, prob := range naive(logits, p, nil, nil, nil, nil) {
			if prob == 0 {
				if counts[id] > 0 {
					t.Errorf("%+v: token %d was drawn %v times, expected never", p, id, counts[id])
				}
				continue
			}
			d := counts[id] - draws*prob
			chi2 += d * d / (draws * prob)
			cells++
		}
		// 99.99% quantile of chi-square, by Wilson and Hilferty.
		k := float64(cells - 1)
		limit := k * math.Pow(1-2/(9*k)+3.719*math.Sqrt(2/(9*k)), 3)
		if chi2 > limit {
			t.Errorf("%+v: chi-square %.1f over %d tokens, limit %.1f", p, chi2, cells, limit)
		}
	}
}

// TestDrawsAreCounterBased: the draw of a position does not depend on what was
// drawn before, and differs between seeds, sequences and positions.
func TestDrawsAreCounterBased(t *testing.T) {
	x := exec(t)
	logits := randomLogits(rand.New(rand.NewPCG(5, 6)), 1000, 0.1)
	pick := func(s *Sampler, p Params, pos int) int32 {
		id, err := s.Pick(logits, p, Place{Position: pos})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	s := New(x, len(logits))
	p := Params{Temperature: 1, Seed: 7}
	var forward []int32
	for pos := range 50 {
		forward = append(forward, pick(s, p, pos))
	}
	for pos := 49; pos >= 0; pos-- {
		if got := pick(New(x, len(logits)), p, pos); got != forward[pos] {
			t.Fatalf("position %d drew %d out of order, %d in order", pos, got, forward[pos])
		}
	}
	for _, other := range []Params{{Temperature: 1, Seed: 8}, {Temperature: 1, Seed: 7, Sequence: 1}} {
		same := 0
		for pos := range 50 {
			if pick(s, other, pos) == forward[pos] {
				same++
			}
		}
		if same > 5 {
			t.Errorf("%+v drew the same token as %+v at %d of 50 positions", other, p, same)
		}
	}
}

func TestUniformIsUniform(t *testing.T) {
	var bins [20]int
	const n = 200000
	for i := range uint64(n) {
		u := Uniform(i%3, i%5, i)
		if u < 0 || u >= 1 {
			t.Fatalf("Uniform gave %v", u)
		}
		bins[int(u*20)]++
	}
	for b, c := range bins {
		if math.Abs(float64(c)-n/20) > 5*math.Sqrt(n/20) {
			t.Errorf("bin %d holds %d of %d draws, expected about %d", b, c, n, n/20)
		}
	}
}

func TestPickRefusesWhatIsNotFinite(t *testing.T) {
	s := New(exec(t), 3)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, logits := range [][]float32{{nan, nan, nan}, {-inf, -inf, -inf}, {1, inf, 2}} {
		for _, p := range []Params{{}, {Temperature: 1}} {
			if id, err := s.Pick(logits, p, Place{Position: 0}); !errors.Is(err, ErrNotFinite) {
				t.Errorf("%v with %+v: picked %d (%v), expected ErrNotFinite", logits, p, id, err)
			}
		}
	}
}

func TestPickRefusesWhereNothingMayCome(t *testing.T) {
	s := New(exec(t), 3)
	for _, at := range []Place{{Allowed: []uint64{0}}, {Allowed: []uint64{4}, Banned: []int32{2}}, {Banned: []int32{0, 1, 2, 3}}} {
		for _, p := range []Params{{}, {Temperature: 1}} {
			if id, err := s.Pick([]float32{1, 2, 3}, p, at); !errors.Is(err, ErrNoneAllowed) {
				t.Errorf("%+v with %+v: picked %d (%v), expected ErrNoneAllowed", at, p, id, err)
			}
		}
	}
	nan := float32(math.NaN())
	if _, err := s.Pick([]float32{nan, nan, nan}, Params{}, Place{Allowed: []uint64{0}}); !errors.Is(err, ErrNotFinite) {
		t.Errorf("logits that are no numbers: %v, expected ErrNotFinite", err)
	}
}

func TestBiasForcesAndBans(t *testing.T) {
	s := New(exec(t), 4)
	logits := []float32{9, 8, -7, 3}
	for id := range int32(4) {
		p := Params{Bias: Biases(map[int32]float64{id: 100})}
		if got, err := s.Pick(logits, p, Place{}); err != nil || got != id {
			t.Errorf("+100 on %d: picked %d (%v)", id, got, err)
		}
	}
	if got, _ := s.Pick(logits, Params{Bias: []Bias{{0, -100}}}, Place{}); got != 1 {
		t.Errorf("-100 on the likeliest: picked %d, expected 1", got)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	for field, p := range map[string]Params{
		"temperature":        {Temperature: -1},
		"top_k":              {TopK: -2},
		"top_p":              {TopP: 1.5},
		"min_p":              {MinP: math.NaN()},
		"repetition_penalty": {RepetitionPenalty: math.Inf(1)},
		"presence_penalty":   {PresencePenalty: math.Inf(-1)},
		"frequency_penalty":  {FrequencyPenalty: math.NaN()},
		"logit_bias":         {Bias: []Bias{{7, float32(math.NaN())}}},
	} {
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%+v: error %v does not name %s", p, err, field)
		}
	}
	if err := settings["all"].Validate(); err != nil {
		t.Error(err)
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	logits := randomLogits(rand.New(rand.NewPCG(7, 8)), 5000, 3)
	s := New(exec(t), len(logits))
	h := NewHistory(len(logits))
	h.Add(1, 2, 3, 4)
	at := Place{Position: 1, History: h, Banned: []int32{9}}
	randomMask(rand.New(rand.NewPCG(7, 8)), len(logits), 0.5, &at)
	for name, p := range settings {
		if n := testing.AllocsPerRun(5, func() { s.Pick(logits, p, at) }); n > 0 {
			t.Errorf("%s: %v allocations a pick", name, n)
		}
	}
}
