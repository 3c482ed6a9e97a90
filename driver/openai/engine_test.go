package openai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dlm"
	"dlm/internal/remote"
	"dlm/internal/testkit"
)

func serve(t *testing.T, f *fake, change func(*Options)) *Engine {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	o := Options{URL: s.URL, VLLM: f.vllm, NoLogProbs: f.silent, Refuses: f.refuses, Models: map[string]string{"projects/bank": "bank"}}
	if change != nil {
		change(&o)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// beyond are fields that OpenAI's API does not have.
var beyond = []string{"top_k", "min_p", "repetition_penalty", "min_tokens", "ignore_eos", "stop_token_ids", "guided_regex", "guided_choice"}

func TestConformance(t *testing.T) {
	for name, c := range map[string]struct {
		f *fake
		o testkit.GeneratorOptions
	}{
		"OpenAI's fields": {&fake{}, testkit.GeneratorOptions{Refuses: beyond}},
		"vLLM's fields":   {&fake{vllm: true}, testkit.GeneratorOptions{}},
		"text alone":      {&fake{silent: true}, testkit.GeneratorOptions{Refuses: append([]string{"top_logprobs", "prompt_logprobs"}, beyond...), Silent: true}},
		"Ollama's":        {&fake{refuses: Ignored("ollama"), silent: true}, testkit.GeneratorOptions{Refuses: append(append([]string{"top_logprobs", "prompt_logprobs"}, Ignored("ollama")...), beyond...), Silent: true}},
	} {
		t.Run(name, func(t *testing.T) {
			o := c.o
			o.Exact, o.Codec, o.Adapters = true, testkit.ByteCodec{}, []string{"projects/bank"}
			e := serve(t, c.f, nil)
			testkit.Generator(t, e, o)
			testkit.GeneratorCalls(t, e, o)
			testkit.GeneratorFields(t, e, o)
		})
	}
}

func ask(e *Engine, r dlm.GenerateRequest) (dlm.Completion, error) {
	out, err := e.Generate(context.Background(), []dlm.GenerateRequest{r}, nil)
	if err != nil {
		return dlm.Completion{}, err
	}
	return out[0], nil
}

var hello = dlm.GenerateRequest{Messages: []dlm.Message{{Role: "user", Content: "Hi"}}, Sampling: dlm.Sampling{MaxTokens: 8}}

// TestFieldsArrive: each field under its name, and none that was not asked for.
func TestFieldsArrive(t *testing.T) {
	f := &fake{vllm: true}
	e := serve(t, f, nil)
	r := hello
	r.Adapter, r.TopLogProbs = "projects/bank", 3
	r.Sampling = dlm.Sampling{MaxTokens: 2, Temperature: 0.5, TopP: 0.9, TopK: 4, MinP: 0.1, RepetitionPenalty: 1.1, PresencePenalty: 0.5, FrequencyPenalty: -0.5,
		Seed: 1<<63 + 7, Stop: []string{"x"}, LogitBias: map[int32]float64{65: 2}, MinTokens: 1, IgnoreEOS: true, StopIDs: []int32{9}}
	if _, err := ask(e, r); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(f.seen[0])
	want := "map[frequency_penalty:-0.5 ignore_eos:true logit_bias:map[65:2] logprobs:true max_tokens:2 messages:[map[content:Hi role:user]] min_p:0.1 min_tokens:1 model:bank presence_penalty:0.5 repetition_penalty:1.1 seed:7 stop:[x] stop_token_ids:[9] stream:true stream_options:map[include_usage:true] temperature:0.5 top_k:4 top_logprobs:3 top_p:0.9]"
	if got != want {
		t.Errorf("sent\n%s\nexpected\n%s", got, want)
	}
	c, err := ask(serve(t, &fake{}, nil), hello)
	if err != nil || c.Cached != 1 || c.PromptTokens == 0 {
		t.Errorf("%+v %v", c, err)
	}
}

// TestFaults: with whom the cause lies, and the server's own words.
func TestFaults(t *testing.T) {
	status := func(code int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v1/models" {
				return false
			}
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(code)
			fmt.Fprint(w, body)
			return true
		}
	}
	long := hello
	long.Messages = []dlm.Message{{Role: "user", Content: strings.Repeat("x", 600)}}
	stranger := hello
	stranger.Adapter = "stranger"
	for name, c := range map[string]struct {
		f    *fake
		r    dlm.GenerateRequest
		kind dlm.FaultKind
		says string
	}{
		"quota":            {&fake{fail: status(429, `{"error":{"message":"slow down"}}`)}, hello, dlm.FaultLimit, "slow down"},
		"down":             {&fake{fail: status(502, "<html>bad gateway</html>")}, hello, dlm.FaultUpstream, "bad gateway"},
		"draining":         {&fake{fail: status(503, `{"error":"going down"}`)}, hello, dlm.FaultBusy, "going down"},
		"key":              {&fake{fail: status(401, `{"error":{"message":"Incorrect API key"}}`)}, hello, dlm.FaultUpstream, "api_key_env"},
		"too long":         {&fake{}, long, dlm.FaultRequest, "maximum context length"},
		"unknown":          {&fake{}, stranger, dlm.FaultUnknown, "stranger"},
		"breaks off":       {&fake{event: "{}", cut: true}, hello, dlm.FaultUpstream, "broke off"},
		"fails within":     {&fake{event: `{"error":{"message":"out of blocks","code":503}}`}, hello, dlm.FaultBusy, "out of blocks"},
		"no JSON":          {&fake{event: `{"choices":`}, hello, dlm.FaultUpstream, "the stream holds"},
		"strange end":      {&fake{event: `{"choices":[{"delta":{},"finish_reason":"content_filter"}]}`}, hello, dlm.FaultUpstream, "content_filter"},
		"two choices":      {&fake{event: `{"choices":[{},{}]}`}, hello, dlm.FaultUpstream, "2 choices"},
		"no probabilities": {&fake{silent: true}, hello, dlm.FaultUnsupported, "no_logprobs"},
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t, c.f, func(o *Options) { o.NoLogProbs = false })
			_, err := ask(e, c.r)
			var f *dlm.Fault
			if !errors.As(err, &f) || f.Kind != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v (%+v): expected kind %q and %q", err, f, c.kind, c.says)
			}
			if c.f.fail != nil && name != "key" && f != nil && f.Retry != 7*time.Second {
				t.Errorf("try again after %v, the server says 7s", f.Retry)
			}
		})
	}
	e, err := New(Options{URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = ask(e, hello); dlm.FaultOf(err) != dlm.FaultUpstream {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := New(Options{URL: "gpu-box:8000"}); dlm.FaultOf(err) != dlm.FaultRequest {
		t.Errorf("an address that is none: %v", err)
	}
}

func TestModels(t *testing.T) {
	e := serve(t, &fake{}, nil)
	list, err := e.Models(context.Background())
	if err != nil || len(list) != 2 || list[0] != (Model{ID: "base", Context: 512, OwnedBy: "toy"}) || list[1].Parent != "base" {
		t.Errorf("%+v %v", list, err)
	}
	if err := e.Health(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestEmbed(t *testing.T) {
	out, err := serve(t, &fake{}, nil).Embed(context.Background(), []string{"abcd", "xyz"})
	if err != nil || len(out) != 2 {
		t.Fatal(out, err)
	}
	if v := out[0]; v.Tokens != 4 || math.Abs(float64(v.Vector[0])-0.6) > 1e-6 || math.Abs(float64(v.Vector[1])-0.8) > 1e-6 {
		t.Errorf("%+v", v)
	}
}

// FuzzStream: whatever a server sends, reading it ends without a panic, and what
// was emitted is what is returned.
func FuzzStream(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"delta\":{\"content\":\"ab\"},\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":-1,\"bytes\":[97],\"top_logprobs\":[{\"token\":\"x\",\"logprob\":-2}]},{\"token\":\"b\",\"logprob\":-3}]}}]}\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3}}\ndata: [DONE]\n"))
	f.Add([]byte("data: {\"choices\":[{\"text\":\"a\",\"logprobs\":{\"tokens\":[\"a\"],\"token_logprobs\":[null],\"top_logprobs\":[{\"b\":1}]}}]}\n\n"))
	f.Add([]byte("data: {\"error\":{\"code\":\"x\"}}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, top := range []int{0, 2} {
			var out dlm.Completion
			text := ""
			r := reading{who: "it", top: top, out: &out, emit: func(tok dlm.Token) { text += tok.Text }, silent: true}
			err := remote.Events(strings.NewReader(string(raw)), r.event)
			if err == nil && text != out.Text {
				t.Errorf("emitted %q, returned %q", text, out.Text)
			}
			for _, tok := range out.Tokens {
				if len(tok.Top) > top {
					t.Errorf("%d alternatives, %d were asked for", len(tok.Top), top)
				}
			}
			var broken *remote.BrokenError
			if errors.As(err, &broken) && !errors.Is(err, io.ErrUnexpectedEOF) && len(raw) < remote.MaxLine {
				t.Errorf("broke off by %v", err)
			}
		}
	})
}
