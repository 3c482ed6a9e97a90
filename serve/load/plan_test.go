package load

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRequestsFollowFromSeedAndIndex(t *testing.T) {
	p := &Plan{Models: []string{"a", "b", "c"}, Zipf: 1, PromptLen: Range{4, 60}, Vocab: 5000, MaxTokens: Range{1, 100}, Seed: 7}
	s, again := newSource(p), newSource(p)
	for _, i := range []int{5, 0, 99, 3} {
		if a, b := s.request(i), again.request(i); !reflect.DeepEqual(a, b) {
			t.Errorf("request %d differs: %+v, %+v", i, a, b)
		}
	}
	other := *p
	other.Seed = 8
	if reflect.DeepEqual(newSource(&other).request(5), s.request(5)) {
		t.Error("another seed asks the same")
	}
}

func TestZipf(t *testing.T) {
	p := &Plan{Models: []string{"a", "b", "c", "d"}, Zipf: 1, Prompts: map[string][]Prompt{"": {{Text: "x"}}}, MaxTokens: words(1)}
	s, n := newSource(p), 20000
	count := map[string]float64{}
	for i := range n {
		count[s.request(i).model]++
	}
	p.InTurn = true
	if a, b := s.request(2).model, s.request(7).model; a != "c" || b != "d" {
		t.Errorf("in turn: %s, %s", a, b)
	}
	sum := 1 + 1.0/2 + 1.0/3 + 1.0/4
	for k, m := range p.Models {
		want := float64(n) / float64(k+1) / sum
		if math.Abs(count[m]-want) > 5*math.Sqrt(want) {
			t.Errorf("%s was asked for %.0f times, expected about %.0f", m, count[m], want)
		}
	}
}

// Gaps of a Poisson process are exponential: mean and standard deviation are 1/rate.
func TestPoisson(t *testing.T) {
	a, n, before := newArrivals(&Plan{Rate: 100, Seed: 1}), 20000, time.Duration(0)
	sum, square := 0.0, 0.0
	for range n {
		at := a.next()
		gap := (at - before).Seconds()
		before, sum, square = at, sum+gap, square+gap*gap
	}
	mean := sum / float64(n)
	if dev := math.Sqrt(square/float64(n) - mean*mean); math.Abs(mean-0.01) > 0.0005 || math.Abs(dev-0.01) > 0.0005 {
		t.Errorf("gaps: mean %.5f s, deviation %.5f, expected 0.01 both", mean, dev)
	}
}

func TestPlansThatSayNothing(t *testing.T) {
	good := Plan{Models: []string{"a"}, PromptLen: words(8), Vocab: 1000, MaxTokens: words(8), Concurrency: 1, Requests: 1}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*Plan){
		"no model":      func(p *Plan) { p.Models = nil },
		"either":        func(p *Plan) { p.Rate = 3 },
		"or a rate":     func(p *Plan) { p.Concurrency = 0 },
		"or a duration": func(p *Plan) { p.Requests = 0 },
		"ramp":          func(p *Plan) { p.Duration, p.Ramp = time.Second, time.Second },
		"finite":        func(p *Plan) { p.Zipf = -1 },
		"one token":     func(p *Plan) { p.MaxTokens = Range{} },
		"no prompts":    func(p *Plan) { p.Vocab = 0 },
	} {
		p := good
		change(&p)
		if err := p.check(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, expected %q", err, says)
		}
	}
}

func TestRange(t *testing.T) {
	for text, want := range map[string]Range{"5": {5, 5}, "32-128": {32, 128}} {
		var r Range
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want || r.String() != text {
			t.Errorf("%s: %v, %v", text, r, err)
		}
	}
	for _, text := range []string{"", "0", "-3", "9-3", "3-", "a", "3-4-5", "3 4"} {
		if err := new(Range).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestQuantile(t *testing.T) {
	s := spread([]float64{4, 1, 3, 2})
	if s.P50 != 2.5 || s.Mean != 2.5 || s.Max != 4 || math.Abs(s.P90-3.7) > 1e-12 || s.Count != 4 {
		t.Errorf("%+v", s)
	}
	if spread(nil) != (Spread{}) || spread([]float64{7}).P99 != 7 {
		t.Error("short lists")
	}
}

func TestReadPrompts(t *testing.T) {
	in := `{"id":"g-1","messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"a"}],"tags":["x"]}

{"prompt":"text"}
{"prompt":[{"role":"user","content":"v"}],"completion":"c"}
`
	got, err := ReadPrompts(strings.NewReader(in))
	if err != nil || len(got) != 3 || len(got[0].Messages) != 2 || got[1].Text != "text" || got[2].Messages[0].Content != "v" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "{}\n", "x\n", `{"prompt":3}`, `{"messages":[{"role":"assistant","content":"a"}]}`} {
		if _, err := ReadPrompts(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
