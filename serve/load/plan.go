package load

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"time"
)

// Plan says which requests are sent, and when.
type Plan struct {
	Models []string                  // asked for, the most popular first
	Zipf   float64                   // exponent: model k of the list is asked for in proportion to 1/k^Zipf; 0 = all alike
	InTurn bool                      // request i asks for model i modulo their number, instead of a drawn one
	Bodies map[string]map[string]any // further fields of a request, by model; "" = of all

	Prompts   map[string][]Prompt // by model; "" = of models that are not named. Empty: random token ids
	PromptLen Range               // tokens of random prompts
	Vocab     int                 // of random prompts
	MaxTokens Range               // of a completion

	Concurrency int     // closed loop: requests under way
	Rate        float64 // open loop: requests a second, when Concurrency is 0

	Requests int           // to send in all; 0 = as many as Duration has room for
	Duration time.Duration // after which none is sent; 0 = no limit
	Ramp     time.Duration // from the start, of which nothing is reported
	WarmUp   int           // requests for each model before the clock starts, not reported

	Bounds Bounds // of a good answer
	Seed   uint64
}

// Range is a uniform choice from Low to High, both included.
type Range struct{ Low, High int }

func (r Range) draw(rng *rand.Rand) int {
	if r.High <= r.Low {
		return r.Low
	}
	return r.Low + rng.IntN(r.High-r.Low+1)
}

// String is the range as a flag takes it: 64 or 32-128.
func (r Range) String() string {
	if r.High <= r.Low {
		return fmt.Sprint(r.Low)
	}
	return fmt.Sprintf("%d-%d", r.Low, r.High)
}

// UnmarshalText reads 64 or 32-128.
func (r *Range) UnmarshalText(b []byte) error {
	var low, high int
	switch n, _ := fmt.Sscanf(string(b), "%d-%d", &low, &high); {
	case n == 1 && fmt.Sprint(low) == string(b):
		high = low
	case n == 2 && fmt.Sprintf("%d-%d", low, high) == string(b):
	default:
		return fmt.Errorf("is %q; expected a number of tokens, or two with a dash between them: 32-128", b)
	}
	if low < 1 || high < low {
		return fmt.Errorf("is %q; expected numbers from 1, the smaller one first", b)
	}
	*r = Range{low, high}
	return nil
}

// check says what is wrong with a plan.
func (p *Plan) check() error {
	switch {
	case len(p.Models) == 0:
		return errors.New("load: no model to ask for")
	case (p.Concurrency > 0) == (p.Rate > 0):
		return errors.New("load: expected either a number of requests under way or a rate")
	case p.Requests <= 0 && p.Duration <= 0:
		return errors.New("load: expected a number of requests or a duration")
	case p.Duration > 0 && p.Ramp >= p.Duration:
		return fmt.Errorf("load: the ramp of %s leaves nothing of the duration of %s", p.Ramp, p.Duration)
	case p.Zipf < 0 || math.IsNaN(p.Zipf) || math.IsInf(p.Zipf, 0) || math.IsNaN(p.Rate) || math.IsInf(p.Rate, 0):
		return errors.New("load: expected a finite rate and a Zipf exponent of 0 or more")
	case p.MaxTokens.Low < 1:
		return errors.New("load: expected at least one token a completion")
	}
	for _, m := range p.Models {
		if len(p.prompts(m)) == 0 && (p.PromptLen.Low < 1 || p.Vocab <= reserved) {
			return fmt.Errorf("load: no prompts for %q: expected some, or a length and a vocabulary of more than %d for random ones", m, reserved)
		}
	}
	return nil
}

func (p *Plan) prompts(model string) []Prompt {
	if own, ok := p.Prompts[model]; ok {
		return own
	}
	return p.Prompts[""]
}

// reserved are the first ids of a vocabulary, which random prompts leave out:
// there stand the tokens that mean something to a template.
const reserved = 256

// streams of random numbers, so that one does not shift another.
const (
	streamRequest = iota + 1
	streamArrival
)

// ask is one request of the plan.
type ask struct {
	index     int
	model     string
	prompt    Prompt
	maxTokens int
	warm      bool // before the clock, not reported
}

// source makes the requests of a plan.
type source struct {
	plan *Plan
	cdf  []float64 // of the models
}

func newSource(p *Plan) *source {
	s := &source{plan: p, cdf: make([]float64, len(p.Models))}
	sum := 0.0
	for i := range s.cdf {
		sum += math.Pow(float64(i+1), -p.Zipf)
		s.cdf[i] = sum
	}
	for i := range s.cdf {
		s.cdf[i] /= sum
	}
	return s
}

// request is what request i asks, the same whenever it is made.
func (s *source) request(i int) ask {
	rng := rand.New(rand.NewPCG(s.plan.Seed, uint64(i)<<8|streamRequest))
	k := min(sort.SearchFloat64s(s.cdf, rng.Float64()), len(s.cdf)-1)
	if s.plan.InTurn {
		k = i % len(s.plan.Models)
	}
	return s.of(s.plan.Models[k], i, rng)
}

func (s *source) of(model string, i int, rng *rand.Rand) ask {
	a := ask{index: i, model: model, maxTokens: s.plan.MaxTokens.draw(rng)}
	if own := s.plan.prompts(model); len(own) > 0 {
		a.prompt = own[rng.IntN(len(own))]
		return a
	}
	ids := make([]int32, s.plan.PromptLen.draw(rng))
	for j := range ids {
		ids[j] = int32(reserved + rng.IntN(s.plan.Vocab-reserved))
	}
	a.prompt = Prompt{IDs: ids}
	return a
}

// warm are the requests before the clock starts: each model in turn.
func (s *source) warm() (out []ask) {
	for n := range s.plan.WarmUp {
		for k, m := range s.plan.Models {
			i := n*len(s.plan.Models) + k
			a := s.of(m, -1-i, rand.New(rand.NewPCG(s.plan.Seed, ^uint64(i))))
			a.warm = true
			out = append(out, a)
		}
	}
	return out
}

// arrivals are the times of a Poisson process: the gaps are exponential.
type arrivals struct {
	rng  *rand.Rand
	rate float64
	at   time.Duration
}

func newArrivals(p *Plan) *arrivals {
	return &arrivals{rng: rand.New(rand.NewPCG(p.Seed, streamArrival)), rate: p.Rate}
}

// next is when the next request is due, from the start.
func (a *arrivals) next() time.Duration {
	a.at += time.Duration(a.rng.ExpFloat64() / a.rate * float64(time.Second))
	return a.at
}
