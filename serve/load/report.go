package load

import (
	"cmp"
	"slices"
	"time"
)

// Report is what came of a load. Times are milliseconds.
type Report struct {
	Loop        string  `json:"loop"` // "closed" or "open"
	Concurrency int     `json:"concurrency,omitempty"`
	Rate        float64 `json:"rate,omitempty"` // requests a second that were due
	Zipf        float64 `json:"zipf"`
	Seed        uint64  `json:"seed"`
	Stream      bool    `json:"stream"`
	Seconds     float64 `json:"seconds"`          // that the figures a second are of
	PeakRunning int     `json:"peak_running"`     // most requests under way
	Late        Spread  `json:"send_late_ms"`     // how late the client itself sent: large values mean that it was the bottleneck
	Estimated   bool    `json:"estimated_tokens"` // some answers had no usage, and their pieces were counted as tokens

	RequestsPerSecond float64 `json:"requests_per_second"` // answered
	OutputPerSecond   float64 `json:"output_tokens_per_second"`
	TotalPerSecond    float64 `json:"total_tokens_per_second"` // prompts too

	Figures
	Goodput *Goodput    `json:"goodput,omitempty"`
	Errors  []Failure   `json:"errors"`
	Models  []ModelLine `json:"models"`
}

// Figures are of all requests, or of one model's.
type Figures struct {
	Requests   int `json:"requests"` // due after the ramp
	Failed     int `json:"failed"`
	Resent     int `json:"resent"` // because their connection had been ended
	Prompt     int `json:"prompt_tokens"`
	Cached     int `json:"cached_tokens"` // of the prompts, as the server says
	Completion int `json:"completion_tokens"`

	TTFT Spread `json:"ttft_ms"` // from due to the first text
	ITL  Spread `json:"itl_ms"`  // between pieces of text that follow each other
	TPOT Spread `json:"tpot_ms"` // a request's mean time for a token after the first
	E2E  Spread `json:"e2e_ms"`  // from due to the end
}

// ModelLine are one model's figures.
type ModelLine struct {
	Model string `json:"model"`
	Figures
	Answered []Answered `json:"answered"` // who answered, as the server says
}

// Answered counts the answers of one name, and of one version where the server
// names it.
type Answered struct {
	Name    string `json:"name"`
	Adapter string `json:"adapter,omitempty"` // its digest
	Count   int    `json:"count"`
}

// Failure counts the requests that failed in one way.
type Failure struct {
	Kind    string `json:"kind"`
	Count   int    `json:"count"`
	Example string `json:"example"`
}

// Bounds say what a good answer is; 0 = not asked for.
type Bounds struct{ TTFT, ITL time.Duration }

// Goodput is the part of the requests that were answered within bounds. A
// request's ITL is its TPOT here, so that one slow token does not fail it.
type Goodput struct {
	TTFTBound float64 `json:"ttft_bound_ms,omitempty"`
	ITLBound  float64 `json:"itl_bound_ms,omitempty"`
	Share     float64 `json:"share"` // of all requests, the failed ones too
	PerSecond float64 `json:"requests_per_second"`
}

// Spread sums up a list of times in milliseconds.
type Spread struct {
	Count int     `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

func spread(ms []float64) Spread {
	if len(ms) == 0 {
		return Spread{}
	}
	slices.Sort(ms)
	sum := 0.0
	for _, x := range ms {
		sum += x
	}
	return Spread{len(ms), sum / float64(len(ms)), quantile(ms, 0.5), quantile(ms, 0.9), quantile(ms, 0.99), ms[len(ms)-1]}
}

// quantile of a sorted list, between its two neighbours where it falls between them.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// report sums up what is done.
func (r *runner) report() *Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.plan
	out := &Report{Loop: "open", Concurrency: p.Concurrency, Rate: p.Rate, Zipf: p.Zipf, Seed: p.Seed, Stream: !r.server.Whole, PeakRunning: r.peak}
	if p.Concurrency > 0 {
		out.Loop = "closed"
	}
	slices.SortFunc(r.done, func(a, b *exchange) int { return cmp.Compare(a.index, b.index) })
	from, to := r.window()
	w := window{from, to}
	out.Seconds = (to - from).Seconds()
	var counted []*exchange
	var late []float64
	output, prompts, answered := 0.0, 0, 0
	for _, x := range r.done {
		output += w.output(x)
		if w.holds(x.end) && x.kind == "" {
			prompts += x.prompt
			answered++
		}
		if x.due < from {
			continue
		}
		counted = append(counted, x)
		late = append(late, millis(max(0, x.sent-x.due)))
		out.Estimated = out.Estimated || x.estimated && x.kind == ""
	}
	if out.Seconds > 0 {
		out.OutputPerSecond = output / out.Seconds
		out.TotalPerSecond = (output + float64(prompts)) / out.Seconds
		out.RequestsPerSecond = float64(answered) / out.Seconds
	}
	out.Late = spread(late)
	out.Figures = figures(counted)
	out.Goodput = r.goodput(counted, out.Seconds)
	out.Errors = failures(counted)
	for _, m := range p.Models {
		own := ofModel(counted, m)
		out.Models = append(out.Models, ModelLine{Model: m, Figures: figures(own), Answered: answeredBy(own)})
	}
	return out
}

// window is the time that figures a second are of: after the ramp, up to the end
// of the sending where a duration was asked for (what trails after it is not
// full load), else up to the last answer.
func (r *runner) window() (from, to time.Duration) {
	if to = r.plan.Duration; r.plan.Requests > 0 || to == 0 {
		to = 0
		for _, x := range r.done {
			to = max(to, x.end)
		}
	} else if r.sentAll < to && r.cut {
		to = r.sentAll
	}
	return r.plan.Ramp, max(to, r.plan.Ramp)
}

type window struct{ from, to time.Duration }

func (w window) holds(t time.Duration) bool { return t >= w.from && t <= w.to }

// output is how many of an answer's tokens came within the window; a piece of
// text counts as its share of the tokens.
func (w window) output(x *exchange) float64 {
	if x.kind != "" {
		return 0
	}
	if len(x.chunks) == 0 {
		if w.holds(x.end) {
			return float64(x.completion)
		}
		return 0
	}
	n := 0
	for _, t := range x.chunks {
		if w.holds(t) {
			n++
		}
	}
	return float64(x.completion) * float64(n) / float64(len(x.chunks))
}

func figures(xs []*exchange) Figures {
	f := Figures{Requests: len(xs)}
	var ttft, itl, tpot, e2e []float64
	for _, x := range xs {
		f.Resent += x.resent
		if x.kind != "" {
			f.Failed++
			continue
		}
		f.Prompt += x.prompt
		f.Cached += x.cached
		f.Completion += x.completion
		e2e = append(e2e, millis(x.end-x.due))
		if len(x.chunks) == 0 {
			continue
		}
		ttft = append(ttft, millis(x.chunks[0]-x.due))
		for i := 1; i < len(x.chunks); i++ {
			itl = append(itl, millis(x.chunks[i]-x.chunks[i-1]))
		}
		if t, ok := x.perToken(); ok {
			tpot = append(tpot, millis(t))
		}
	}
	f.TTFT, f.ITL, f.TPOT, f.E2E = spread(ttft), spread(itl), spread(tpot), spread(e2e)
	return f
}

// perToken is the mean time for a token after the first.
func (x *exchange) perToken() (time.Duration, bool) {
	if x.completion < 2 || len(x.chunks) < 2 {
		return 0, false
	}
	return (x.chunks[len(x.chunks)-1] - x.chunks[0]) / time.Duration(x.completion-1), true
}

func (r *runner) goodput(xs []*exchange, seconds float64) *Goodput {
	b := r.plan.Bounds
	if b == (Bounds{}) || len(xs) == 0 {
		return nil
	}
	good := 0
	for _, x := range xs {
		if x.kind != "" || b.TTFT > 0 && (len(x.chunks) == 0 || x.chunks[0]-x.due > b.TTFT) {
			continue
		}
		if t, ok := x.perToken(); ok && b.ITL > 0 && t > b.ITL {
			continue
		}
		good++
	}
	g := &Goodput{TTFTBound: millis(b.TTFT), ITLBound: millis(b.ITL), Share: float64(good) / float64(len(xs))}
	if seconds > 0 {
		g.PerSecond = float64(good) / seconds
	}
	return g
}

func failures(xs []*exchange) (out []Failure) {
	for _, x := range xs {
		if x.kind == "" {
			continue
		}
		i := slices.IndexFunc(out, func(f Failure) bool { return f.Kind == x.kind })
		if i < 0 {
			i, out = len(out), append(out, Failure{Kind: x.kind, Example: x.detail})
		}
		out[i].Count++
	}
	slices.SortStableFunc(out, func(a, b Failure) int { return cmp.Compare(b.Count, a.Count) })
	return out
}

func ofModel(xs []*exchange, model string) (out []*exchange) {
	for _, x := range xs {
		if x.model == model {
			out = append(out, x)
		}
	}
	return out
}

func answeredBy(xs []*exchange) (out []Answered) {
	for _, x := range xs {
		if x.kind != "" {
			continue
		}
		i := slices.IndexFunc(out, func(a Answered) bool { return a.Name == x.answered && a.Adapter == x.adapter })
		if i < 0 {
			i, out = len(out), append(out, Answered{Name: x.answered, Adapter: x.adapter})
		}
		out[i].Count++
	}
	slices.SortStableFunc(out, func(a, b Answered) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Adapter, b.Adapter))
	})
	return out
}
