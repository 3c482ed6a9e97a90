package load

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dlm"
)

func words(n int) Range { return Range{n, n} }

func mustRun(t *testing.T, s *Server, p *Plan) *Report {
	t.Helper()
	r, err := Run(t.Context(), s, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func between(t *testing.T, what string, got, low, high float64) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s is %.2f, expected %.2f to %.2f", what, got, low, high)
	}
}

func TestClosedLoop(t *testing.T) {
	f := &fake{first: 20 * time.Millisecond, gap: 4 * time.Millisecond}
	s := f.serve(t)
	s.Key = "secret"
	p := &Plan{Models: []string{"a", "b"}, Prompts: map[string][]Prompt{"": {{Text: "hello"}}, "b": {{Messages: []dlm.Message{{Role: "user", Content: "hi"}}}}},
		MaxTokens: words(6), Concurrency: 4, Requests: 40, WarmUp: 1, Seed: 1, Bodies: map[string]map[string]any{"": {"top_k": 5}, "b": {"lora": []int{1}}}}
	r := mustRun(t, s, p)
	if r.Loop != "closed" || r.Requests != 40 || r.Failed != 0 || r.Completion != 240 || r.Prompt != 280 || r.Cached != 120 || r.Estimated {
		t.Fatalf("%+v", r)
	}
	between(t, "TTFT", r.TTFT.P50, 24, 200)
	between(t, "ITL", r.ITL.P50, 4, 60)
	between(t, "E2E", r.E2E.P50, r.TTFT.P50, 500)
	between(t, "output", r.OutputPerSecond, 240/r.Seconds*0.99, 240/r.Seconds*1.01)
	between(t, "total", r.TotalPerSecond, 520/r.Seconds*0.99, 520/r.Seconds*1.01)
	if r.ITL.Count != 200 || r.PeakRunning != 4 {
		t.Errorf("%d gaps, %d at once", r.ITL.Count, r.PeakRunning)
	}
	if len(f.seen) != 42 {
		t.Errorf("the server saw %d requests, expected 40 and one for each model before", len(f.seen))
	}
	for i, req := range f.seen {
		chat := req["model"] == "b"
		if chat != (f.path[i] == "/v1/chat/completions") || chat != (req["lora"] != nil) || req["top_k"] != 5.0 || f.auth[i] != "Bearer secret" {
			t.Errorf("%s %v", f.path[i], req)
		}
	}
	if m := r.Models[1]; m.Model != "b" || m.Requests == 0 || m.Answered[0] != (Answered{"b@prod", "sha256:0123456789abcdef", m.Requests}) {
		t.Errorf("%+v", m)
	}
}

// A server that answers one at a time falls behind. Requests are sent all the
// same, and the time that they wait counts from when they were due.
func TestOpenLoopCountsWaiting(t *testing.T) {
	f := &fake{first: 20 * time.Millisecond, slots: make(chan struct{}, 1)}
	p := &Plan{Models: []string{"a"}, Prompts: map[string][]Prompt{"": {{Text: "x"}}}, MaxTokens: words(1), Rate: 200, Requests: 40, Seed: 3}
	r := mustRun(t, f.serve(t), p)
	if r.Failed != 0 || r.Requests != 40 || r.Rate != 200 {
		t.Fatalf("%+v", r)
	}
	// Forty requests of 20 ms, due within about 200 ms: the last waits some 600 ms.
	between(t, "most under way", float64(r.PeakRunning), 15, 40)
	between(t, "TTFT max", r.TTFT.Max, 400, 5000)
	if r.TTFT.P50 < 5*20 {
		t.Errorf("TTFT p50 is %.1f ms: waiting does not count", r.TTFT.P50)
	}
}

// A client that is late itself must not hide it.
func TestLatenessCountsFromDue(t *testing.T) {
	x := &exchange{due: 100 * time.Millisecond, sent: 400 * time.Millisecond, end: 600 * time.Millisecond, chunks: []time.Duration{500 * time.Millisecond}, completion: 1}
	f := figures([]*exchange{x})
	if f.TTFT.P50 != 400 || f.E2E.P50 != 500 {
		t.Errorf("TTFT %.0f, E2E %.0f", f.TTFT.P50, f.E2E.P50)
	}
}

func TestDurationRampAndGoodput(t *testing.T) {
	f := &fake{gap: 5 * time.Millisecond}
	p := &Plan{Models: []string{"a"}, PromptLen: Range{3, 9}, Vocab: 1000, MaxTokens: Range{2, 5}, Concurrency: 3, Duration: 500 * time.Millisecond, Ramp: 200 * time.Millisecond,
		Bounds: Bounds{TTFT: 10 * time.Second, ITL: time.Nanosecond}}
	r := mustRun(t, f.serve(t), p)
	between(t, "seconds", r.Seconds, 0.3, 0.3)
	if r.Requests == 0 || r.Failed > 0 || r.Goodput == nil || r.Goodput.Share != 0 {
		t.Fatalf("%+v %+v", r, r.Goodput)
	}
	if len(f.seen) <= r.Requests {
		t.Errorf("%d requests reported of %d: the ramp is in it", r.Requests, len(f.seen))
	}
	p.Bounds = Bounds{TTFT: 10 * time.Second}
	if r = mustRun(t, f.serve(t), p); r.Goodput.Share != 1 || r.Goodput.PerSecond <= 0 {
		t.Errorf("%+v", r.Goodput)
	}
	for _, req := range f.seen {
		ids := req["prompt"].([]any)
		if len(ids) < 3 || len(ids) > 9 || ids[0].(float64) < reserved {
			t.Errorf("prompt %v", ids)
		}
	}
}

func TestFailuresByKind(t *testing.T) {
	var asked atomic.Int32
	f := &fake{answer: func(w http.ResponseWriter, req map[string]any) bool {
		switch asked.Add(1) % 6 {
		case 0:
			w.Header().Set("Retry-After", "1")
			http.Error(w, `{"error":{"message":"slow down"}}`, http.StatusTooManyRequests)
		case 1:
			fmt.Fprint(w, "data: {\"choices\":[{\"text\":\"x\"}]}\n\n")
		case 2:
			fmt.Fprint(w, "data: {\"choices\":[{\"text\":\"x\"}]}\n\ndata: {\"error\":{\"message\":\"boom\"}}\n\n")
		case 3:
			fmt.Fprint(w, "data: [DONE]\n\n")
		case 4:
			fmt.Fprint(w, "data: nonsense\n\n")
		default:
			time.Sleep(400 * time.Millisecond)
			return false
		}
		return true
	}}
	s := f.serve(t)
	s.Timeout = 200 * time.Millisecond
	p := &Plan{Models: []string{"a"}, Prompts: map[string][]Prompt{"": {{Text: "x"}}}, MaxTokens: words(2), Concurrency: 1, Requests: 6}
	r := mustRun(t, s, p)
	kinds := map[string]string{}
	for _, e := range r.Errors {
		kinds[e.Kind] = e.Example
	}
	for kind, says := range map[string]string{"status 429": "slow down", failCut: "without [DONE], after 1", failStream: "boom", failEmpty: "", failFormat: "nonsense", failTimeout: "200ms"} {
		if got, ok := kinds[kind]; !ok || !strings.Contains(got, says) {
			t.Errorf("%s: %q, expected %q", kind, got, says)
		}
	}
	if r.Failed != 6 || r.OutputPerSecond != 0 {
		t.Errorf("%+v", r)
	}
}

func TestWholeAnswers(t *testing.T) {
	f := &fake{first: 5 * time.Millisecond}
	s := f.serve(t)
	s.Whole, s.Temperature, s.IgnoreEOS = true, 0.5, true
	p := &Plan{Models: []string{"a"}, Prompts: map[string][]Prompt{"": {{Text: "x"}}}, MaxTokens: words(9), Concurrency: 2, Requests: 6, Seed: 10}
	r := mustRun(t, s, p)
	if r.Failed != 0 || r.Completion != 54 || r.TTFT.Count != 0 || r.E2E.Count != 6 || r.Stream {
		t.Errorf("%+v", r)
	}
	seeds := map[float64]bool{}
	for _, q := range f.seen {
		seeds[q["seed"].(float64)] = true
		if q["ignore_eos"] != true || q["stream_options"] != nil || q["temperature"] != 0.5 {
			t.Errorf("%v", q)
		}
	}
	if len(seeds) != 6 {
		t.Errorf("%d seeds for 6 requests", len(seeds))
	}
}

// What was stopped from outside is no failure, and what was answered is reported.
func TestStop(t *testing.T) {
	f := &fake{gap: 20 * time.Millisecond}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var heard Progress
	p := &Plan{Models: []string{"a"}, Prompts: map[string][]Prompt{"": {{Text: "x"}}}, MaxTokens: words(3), Rate: 50, Duration: time.Minute}
	r, err := Run(ctx, f.serve(t), p, func(now Progress) { heard = now })
	if err == nil || r.Failed != 0 || r.Requests == 0 || r.Seconds > 10 {
		t.Errorf("%+v, %v, %v", r, err, heard)
	}
	if _, err := Run(t.Context(), f.serve(t), &Plan{}, nil); err == nil {
		t.Error("an empty plan was accepted")
	}
}

func TestWarmUpFails(t *testing.T) {
	f := &fake{answer: func(w http.ResponseWriter, req map[string]any) bool {
		http.Error(w, "no such model", http.StatusNotFound)
		return true
	}}
	p := &Plan{Models: []string{"a"}, Prompts: map[string][]Prompt{"": {{Text: "x"}}}, MaxTokens: words(1), Concurrency: 1, Requests: 1, WarmUp: 1}
	if _, err := Run(t.Context(), f.serve(t), p, nil); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v", err)
	}
}

func TestModels(t *testing.T) {
	got, err := (&fake{}).serve(t).Models(t.Context())
	if err != nil || strings.Join(got, " ") != "a b" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestText(t *testing.T) {
	f := &fake{}
	p := &Plan{Models: []string{"a", "b"}, Prompts: map[string][]Prompt{"": {{Text: "x"}}}, MaxTokens: words(2), Rate: 500, Requests: 20, Bounds: Bounds{TTFT: time.Second, ITL: time.Second}}
	r := mustRun(t, f.serve(t), p)
	r.Errors = []Failure{{"status 429", 2, "slow\ndown"}}
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"open loop, 500 requests/s", "20 requests, 0 failed", "TTFT", "goodput: 100.0%", "within TTFT 1000 ms ITL 1000 ms", "a@prod 0123456789ab (", "2 x status 429: slow down", "(43%) of them in the server's cache"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}
