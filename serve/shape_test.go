package serve

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"dlm"
)

// shape writes a JSON value with its values left out: what a client's types depend on.
func shape(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, k+":"+shape(v[k]))
		}
		return "{" + strings.Join(parts, " ") + "}"
	case []any:
		if len(v) == 0 {
			return "[]"
		}
		return "[" + shape(v[0]) + "]"
	case string:
		return "str"
	case float64:
		return "num"
	case bool:
		return "bool"
	}
	return "null"
}

func shapeOf(t *testing.T, body string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return shape(v)
}

// The shapes below are those of OpenAI's API reference; plain completions' are
// those of its legacy part, prompt_logprobs and the fields of /v1/models vLLM's.
func TestShapes(t *testing.T) {
	const usage = "usage:{completion_tokens:num prompt_tokens:num prompt_tokens_details:{cached_tokens:num} total_tokens:num}"
	const head = " created:num id:str model:str object:str "
	for _, c := range []struct{ name, path, body, want string }{
		{"chat", "/v1/chat/completions", `{"model":"bank","messages":[{"role":"user","content":"hi"}]}`,
			"{choices:[{finish_reason:str index:num logprobs:null message:{content:str refusal:null role:str}}]" + head + "system_fingerprint:str " + usage + "}"},
		{"chat with log-probabilities", "/v1/chat/completions", `{"model":"bank","logprobs":true,"top_logprobs":1,"messages":[{"role":"user","content":"hi"}]}`,
			"{choices:[{finish_reason:str index:num logprobs:{content:[{bytes:[num] logprob:num token:str top_logprobs:[{bytes:[num] logprob:num token:str}]}] refusal:null} message:{content:str refusal:null role:str}}]" + head + "system_fingerprint:str " + usage + "}"},
		{"completion", "/v1/completions", `{"model":"bank","prompt":"hi"}`,
			"{choices:[{finish_reason:str index:num logprobs:null text:str}]" + head + "system_fingerprint:str " + usage + "}"},
		{"completion with log-probabilities", "/v1/completions", `{"model":"bank","prompt":"hi","logprobs":1}`,
			"{choices:[{finish_reason:str index:num logprobs:{text_offset:[num] token_logprobs:[num] tokens:[str] top_logprobs:[{h:num ~:num}]} text:str}]" + head + "system_fingerprint:str " + usage + "}"},
		{"models", "/v1/models", "",
			"{data:[{created:num id:str max_model_len:num object:str owned_by:str parent:null root:str}] object:str}"},
		{"model", "/v1/models/bank", "",
			"{adapter:str aliases:[str] created:num id:str max_model_len:num object:str owned_by:str parent:str root:str}"},
		{"tokenize", "/tokenize", `{"model":"bank","prompt":"hi"}`, "{count:num max_model_len:num token_strs:null tokens:[num]}"},
		{"detokenize", "/detokenize", `{"model":"bank","tokens":[104,105]}`, "{prompt:str}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, _, body := newPlace(t, nil).ask(t, c.path, c.body)
			if status != 200 {
				t.Fatal(status, body)
			}
			if got := shapeOf(t, body); got != c.want {
				t.Errorf("%s\n got %s\nwant %s", body, got, c.want)
			}
		})
	}
}

// events are the data lines of a stream.
func eventsOf(t *testing.T, body string) []string {
	t.Helper()
	var out []string
	for _, e := range strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(e, "data: ")
		if !ok || strings.Contains(data, "\n") {
			t.Fatalf("no event: %q", e)
		}
		out = append(out, data)
	}
	return out
}

func TestChatStreams(t *testing.T) {
	p := newPlace(t, nil)
	_, h, body := p.ask(t, "/v1/chat/completions", `{"model":"bank","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}`)
	if got := h.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
		t.Error(got)
	}
	all := eventsOf(t, body)
	if len(all) != 1+5+1+1+1 { // role, hello, end, usage, done
		t.Fatalf("%d events: %s", len(all), body)
	}
	event := func(delta, finish, usage string) string {
		choices := "[{delta:" + delta + " finish_reason:" + finish + " index:num logprobs:null}]"
		if usage != "" {
			choices = "[]"
		}
		return "{choices:" + choices + " created:num id:str model:str object:str system_fingerprint:str" + usage + "}"
	}
	text := ""
	for i, e := range all[:len(all)-1] {
		want := event("{content:str}", "null", "")
		switch i {
		case 0:
			want = event("{content:str role:str}", "null", "")
		case 6:
			want = event("{}", "str", "")
		case 7:
			want = event("", "", " usage:{completion_tokens:num prompt_tokens:num prompt_tokens_details:{cached_tokens:num} total_tokens:num}")
		}
		if got := shapeOf(t, e); got != want {
			t.Errorf("event %d: %s\n got %s\nwant %s", i, e, got, want)
		}
		if c := tree(t, e)["choices"].([]any); len(c) > 0 {
			s, _ := c[0].(map[string]any)["delta"].(map[string]any)["content"].(string)
			text += s
		}
	}
	if text != "hello" || all[8] != "[DONE]" {
		t.Errorf("%q, %s", text, all[8])
	}
}

func TestCompletionStreamsChoicesOfSeveralPrompts(t *testing.T) {
	p := newPlace(t, nil)
	_, _, body := p.ask(t, "/v1/completions", `{"model":"bank","stream":true,"prompt":["a","bc"],"n":2,"echo":true,"max_tokens":3}`)
	texts, finishes := map[float64]string{}, 0
	all := eventsOf(t, body)
	for _, e := range all[:len(all)-1] {
		c := tree(t, e)["choices"].([]any)[0].(map[string]any)
		texts[c["index"].(float64)] += c["text"].(string)
		if c["finish_reason"] == "length" {
			finishes++
		}
	}
	want := map[float64]string{0: "ahel", 1: "ahel", 2: "bchel", 3: "bchel"}
	if !maps.Equal(texts, want) || finishes != 4 {
		t.Errorf("%v, %d ends", texts, finishes)
	}
	for i, r := range p.gen.seen {
		if r.Sampling.Sequence != uint64(i%2) || r.Sampling.Seed != p.gen.seen[0].Sampling.Seed || r.Tenant != "tenant" || r.Adapter != "adapters/bank" {
			t.Errorf("request %d: %+v", i, r)
		}
	}
}

// What lm-evaluation-harness reads: the prompt's own log-probabilities, one entry
// for each id it sent, and one for each token generated.
func TestEchoedLogProbs(t *testing.T) {
	for _, c := range []struct {
		name, body string
		generated  int
	}{
		{"one token", `{"model":"base","prompt":[104,105,33],"echo":true,"logprobs":1,"max_tokens":1,"temperature":0,"seed":1234}`, 1},
		{"no token", `{"model":"base","prompt":[[104,105,33]],"echo":true,"logprobs":1,"max_tokens":0}`, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, nil)
			status, _, body := p.ask(t, "/v1/completions", c.body)
			if status != 200 {
				t.Fatal(status, body)
			}
			choice := tree(t, body)["choices"].([]any)[0].(map[string]any)
			l := choice["logprobs"].(map[string]any)
			values, tops, offsets := l["token_logprobs"].([]any), l["top_logprobs"].([]any), l["text_offset"].([]any)
			if len(values) != 3+c.generated || len(tops) != len(values) || len(offsets) != len(values) || len(l["tokens"].([]any)) != len(values) {
				t.Fatal(body)
			}
			if values[0] != nil || tops[0] != nil || values[1] != -0.25 || offsets[2] != 2.0 {
				t.Error(body)
			}
			if top := tops[1].(map[string]any); top["~"] != -0.125 || top["i"] != -0.25 {
				t.Error(top)
			}
			if want := "hi!" + "hello"[:c.generated]; choice["text"] != want || choice["finish_reason"] != "length" {
				t.Errorf("%v", choice)
			}
			if u := tree(t, body)["usage"].(map[string]any); u["prompt_tokens"] != 3.0 || u["completion_tokens"] != float64(c.generated) {
				t.Error(u)
			}
			if r := p.gen.seen[0]; !r.PromptLogProbs || r.PromptOnly != (c.generated == 0) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// late is a generator that keeps text to itself until the end, as one does that
// holds back what may become a stop string.
type late struct{}

func (late) Generate(_ context.Context, reqs []dlm.GenerateRequest, emit func(int, dlm.Token)) ([]dlm.Completion, error) {
	tokens := []dlm.Token{{ID: 1, Text: "one"}, {ID: 2}}
	for _, t := range tokens {
		emit(0, t)
	}
	return []dlm.Completion{{Text: "one two", Tokens: tokens, Finish: "stop"}}, nil
}

func TestTextThatComesLate(t *testing.T) {
	p := newPlace(t, func(p *place, _ *Options) { p.names.gen = late{} })
	_, _, body := p.ask(t, "/v1/completions", `{"model":"bank","prompt":"x","stream":true}`)
	all, text := eventsOf(t, body), ""
	for _, e := range all[:len(all)-1] {
		text += tree(t, e)["choices"].([]any)[0].(map[string]any)["text"].(string)
	}
	if text != "one two" || len(all) != 4 {
		t.Errorf("%q in %s", text, body)
	}
}
