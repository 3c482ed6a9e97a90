package openai

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dlm"
)

// tags are the names that encoding/json reads into a struct.
func tags(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			out = append(out, tags(f.Type)...)
		case name != "-":
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// A field that is let in but not read would be left out silently, and one that is
// read but not let in would be dead.
func TestEveryFieldThatIsLetInIsRead(t *testing.T) {
	for _, c := range []struct {
		f fields
		v any
	}{
		{chatFields, ChatRequest{}}, {completionFields, CompletionRequest{}}, {tokenizeFields, TokenizeRequest{}},
		{detokenizeFields, DetokenizeRequest{}}, {embeddingFields, EmbeddingsRequest{}}, {loadFields, LoadRequest{}}, {unloadFields, UnloadRequest{}},
		{formatFields, ResponseFormat{}}, {schemaFields, JSONSchema{}}, {structuredFields, Structured{}}, {streamFields, StreamOptions{}}, {partFields, part{}},
	} {
		use := slices.Sorted(slices.Values(c.f.use))
		if got := tags(reflect.TypeOf(c.v)); !slices.Equal(got, use) {
			t.Errorf("%T reads %v\nand lets in %v", c.v, got, use)
		}
		for name := range c.f.neutral {
			if slices.Contains(c.f.use, name) || slices.Contains(c.f.ignore, name) {
				t.Errorf("%T: %s is refused and let in", c.v, name)
			}
		}
	}
}

// docs/API.md tells of each field, and of the values of refused ones that are taken.
func TestFieldsAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []fields{chatFields, completionFields} {
		for _, name := range slices.Concat(f.use, f.ignore, slices.Collect(maps.Keys(f.neutral))) {
			if !strings.Contains(string(b), "`"+name+"`") {
				t.Errorf("docs/API.md does not tell of %s", name)
			}
		}
	}
}

func chatBody(more string) []byte {
	return []byte(`{"model":"m","messages":[{"role":"user","content":"hi"}]` + more + `}`)
}

func plainBody(more string) []byte { return []byte(`{"model":"m","prompt":"hi"` + more + `}`) }

func chatOf(body []byte) ([]dlm.GenerateRequest, error) {
	r, err := DecodeChat(body)
	if err != nil {
		return nil, err
	}
	return r.Generate("")
}

func plainOf(body []byte) ([]dlm.GenerateRequest, error) {
	r, err := DecodeCompletion(body)
	if err != nil {
		return nil, err
	}
	return r.Generate()
}

// Values that ask for nothing are taken, whatever the field; anything else in a
// field that is not supported is refused by its name.
func TestFieldsThatAreNotSupported(t *testing.T) {
	for _, c := range []struct {
		f    fields
		body func(string) []byte
		of   func([]byte) ([]dlm.GenerateRequest, error)
	}{{chatFields, chatBody, chatOf}, {completionFields, plainBody, plainOf}} {
		for name, neutral := range c.f.neutral {
			for _, v := range append([]string{"null"}, neutral...) {
				if _, err := c.of(c.body(`,"` + name + `": ` + v)); err != nil {
					t.Errorf("%s %s: %v", name, v, err)
				}
			}
			if name == "parallel_tool_calls" {
				continue
			}
			_, err := c.of(c.body(`,"` + name + `":{"x":[1]}`))
			var f *dlm.Fault
			if !errors.As(err, &f) || f.Kind != dlm.FaultUnsupported || f.Param != name {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, name := range c.f.ignore {
			if _, err := c.of(c.body(`,"` + name + `":null`)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// Values of the wrong kind and out of bounds are refused with the field's name.
func TestFieldsOutOfBounds(t *testing.T) {
	for _, c := range []struct{ param, more string }{
		{"n", `"n":0`}, {"n", `"n":-1`}, {"n", `"n":1000000`}, {"n", `"n":1.5`}, {"n", `"n":"1"`}, {"n", `"n":1e99`},
		{"max_tokens", `"max_tokens":-1`}, {"max_tokens", `"max_tokens":99999999`}, {"max_tokens", `"max_tokens":0`},
		{"temperature", `"temperature":2.1`}, {"temperature", `"temperature":-0.1`}, {"temperature", `"temperature":"hot"`},
		{"top_p", `"top_p":0`}, {"top_p", `"top_p":1.1`}, {"top_k", `"top_k":-2`}, {"min_p", `"min_p":2`},
		{"presence_penalty", `"presence_penalty":2.5`}, {"frequency_penalty", `"frequency_penalty":-2.5`},
		{"repetition_penalty", `"repetition_penalty":0`}, {"repetition_penalty", `"repetition_penalty":-1`},
		{"seed", `"seed":1.5`}, {"seed", `"seed":99999999999999999999`}, {"stop", `"stop":""`}, {"stop", `"stop":["a",""]`}, {"stop", `"stop":3`},
		{"stop", `"stop":[` + strings.Repeat(`"x",`, 16) + `"x"]`}, {"stop_token_ids", `"stop_token_ids":[-1]`}, {"stop_token_ids", `"stop_token_ids":[null]`},
		{"stop_token_ids", `"stop_token_ids":[` + strings.Repeat(`1,`, 16) + `1]`},
		{"logit_bias", `"logit_bias":{"x":1}`}, {"logit_bias", `"logit_bias":{"-1":1}`}, {"logit_bias", `"logit_bias":{"1":101}`}, {"logit_bias", `"logit_bias":[1]`},
		{"min_tokens", `"min_tokens":-1`}, {"min_tokens", `"min_tokens":9,"max_tokens":8`}, {"prompt_logprobs", `"prompt_logprobs":21`},
		{"prompt_logprobs", `"prompt_logprobs":1,"stream":true`}, {"stream", `"stream":"yes"`}, {"stream_options", `"stream":true,"stream_options":{"continuous_usage_stats":true}`},
		{"response_format", `"response_format":{"type":"xml"}`}, {"response_format", `"response_format":{}`}, {"response_format", `"response_format":{"type":"json_schema"}`},
		{"response_format", `"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":[1]}}`},
		{"guided_choice", `"guided_choice":[]`}, {"guided_choice", `"guided_choice":["a",""]`}, {"guided_regex", `"guided_regex":""`}, {"guided_json", `"guided_json":3`}, {"guided_json", `"guided_json":"{"`},
		{"guided_regex", `"guided_choice":["a"],"guided_regex":"a"`}, {"guided_choice", `"response_format":{"type":"json_object"},"guided_choice":["a"]`},
		{"structured_outputs", `"structured_outputs":{}`}, {"structured_outputs", `"structured_outputs":{"grammar":"root"}`}, {"structured_outputs", `"structured_outputs":{"choice":["a"],"regex":"b"}`},
		{"response_format", `"response_format":{"type":"json_object","schema":{}}`}, {"response_format", `"response_format":"json_object"`},
		{"response_format", `"response_format":{"type":"json_schema","json_schema":{"schem":{}}}`}, {"stream_options", `"stream_options":{"include_usag":true}`},
		{"structured_outputs", `"structured_outputs":{"choices":["a"]}`}, {"structured_outputs", `"structured_outputs":{"json":{},"whitespace_pattern":"x"}`},
		{"model", `"model":3`}, {"model", `"model":""`}, {"user", `"user":{}`}, {"ignore_eos", `"ignore_eos":1`},
	} {
		for _, of := range []func() error{
			func() error { _, err := chatOf(chatBody("," + c.more)); return err },
			func() error { _, err := plainOf(plainBody("," + c.more)); return err },
		} {
			err := of()
			var f *dlm.Fault
			if !errors.As(err, &f) || strings.Split(f.Param, ".")[0] != c.param {
				t.Errorf("%s: %v (%+v)", c.more, err, f)
			}
			if f != nil && (strings.Contains(f.Error(), "Go ") || strings.Contains(f.Error(), "openai.")) {
				t.Errorf("%s speaks of Go: %v", c.more, f)
			}
		}
	}
}

func TestSamplingReachesThePort(t *testing.T) {
	const all = `,"temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.1,"repetition_penalty":1.1,"presence_penalty":0.5,"frequency_penalty":-0.5,
		"logit_bias":{"5":-100,"7":2},"min_tokens":2,"ignore_eos":true,"stop_token_ids":[3],"stop":["x","y"],"seed":-1,"max_tokens":9,"n":2`
	want := dlm.Sampling{
		MaxTokens: 9, Temperature: 0.5, TopP: 0.9, TopK: 40, MinP: 0.1, RepetitionPenalty: 1.1, PresencePenalty: 0.5, FrequencyPenalty: -0.5,
		LogitBias: map[int32]float64{5: -100, 7: 2}, MinTokens: 2, IgnoreEOS: true, StopIDs: []int32{3}, Stop: []string{"x", "y"}, Seed: 1<<64 - 1, Sequence: 1,
	}
	c, err1 := chatOf(chatBody(all))
	p, err2 := plainOf(plainBody(all))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	for _, reqs := range [][]dlm.GenerateRequest{c, p} {
		if len(reqs) != 2 || !reflect.DeepEqual(reqs[1].Sampling, want) {
			t.Errorf("%+v", reqs)
		}
	}
	d, err := chatOf(chatBody(`,"top_k":-1`))
	if err != nil || d[0].Sampling.Temperature != 1 || d[0].Sampling.TopK != 0 || d[0].Sampling.MaxTokens != 0 {
		t.Errorf("defaults: %+v %v", d, err)
	}
	m, err := chatOf(chatBody(`,"max_completion_tokens":5`))
	if err != nil || m[0].Sampling.MaxTokens != 5 {
		t.Errorf("%+v %v", m, err)
	}
	if _, err := chatOf(chatBody(`,"max_completion_tokens":5,"max_tokens":6`)); err == nil {
		t.Error("two lengths were taken")
	}
}

func TestFormatsReachThePort(t *testing.T) {
	schema := json.RawMessage(`{"type":"object"}`)
	for more, want := range map[string]*dlm.Format{
		`"response_format":{"type":"text"}`:        nil,
		`"response_format":null`:                   nil,
		`"response_format":{"type":"json_object"}`: {JSON: true},
		`"response_format":{"type":"json_schema","json_schema":{"name":"x","strict":true,"schema":{"type":"object"}}}`: {Schema: schema},
		`"guided_choice":["a","b"]`:                       {Choices: []string{"a", "b"}},
		`"guided_regex":"a+"`:                             {Regex: "a+"},
		`"guided_json":{"type":"object"}`:                 {Schema: schema},
		`"guided_json":"{\"type\":\"object\"}"`:           {Schema: schema},
		`"structured_outputs":{"choice":["a"]}`:           {Choices: []string{"a"}},
		`"structured_outputs":{"regex":"a"}`:              {Regex: "a"},
		`"structured_outputs":{"json":{"type":"object"}}`: {Schema: schema},
		`"structured_outputs":{"json_object":true}`:       {JSON: true},
	} {
		reqs, err := chatOf(chatBody("," + more))
		if err != nil || !reflect.DeepEqual(reqs[0].Format, want) {
			t.Errorf("%s: %+v %v", more, reqs, err)
		}
	}
}

func TestMessages(t *testing.T) {
	of := func(msgs, system string) ([]dlm.Message, error) {
		r, err := DecodeChat([]byte(`{"model":"m","messages":` + msgs + `}`))
		if err != nil {
			return nil, err
		}
		reqs, err := r.Generate(system)
		if err != nil {
			return nil, err
		}
		return reqs[0].Messages, nil
	}
	got, err := of(`[{"role":"developer","content":"be brief"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
		{"role":"assistant","content":"c","refusal":null,"tool_calls":null,"annotations":[],"audio":null,"function_call":null},{"role":"user","content":"d"}]`, "unused")
	want := []dlm.Message{{Role: "system", Content: "be brief"}, {Role: "user", Content: "a\nb"}, {Role: "assistant", Content: "c"}, {Role: "user", Content: "d"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v", got, err)
	}
	got, err = of(`[{"role":"user","content":"x"}]`, "the adapter's own")
	if err != nil || got[0] != (dlm.Message{Role: "system", Content: "the adapter's own"}) || len(got) != 2 {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{
		`[]`, `null`, `"hi"`, `[3]`, `[{"role":"user"}]`, `[{"role":"user","content":null}]`, `[{"role":"user","content":3}]`, `[{"content":"x"}]`,
		`[{"role":"tool","content":"x","tool_call_id":"1"}]`, `[{"role":"robot","content":"x"}]`, `[{"role":"user","content":"x","name":"bob"}]`,
		`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]`, `[{"role":"user","content":[{"type":"text"}]}]`, `[{"role":"user","content":[1]}]`,
		`[{"role":"assistant","content":"x","tool_calls":[{"id":"1"}]}]`, `[{"role":"user","content":"x","colour":1}]`, `[{"role":3,"content":"x"}]`, `[null]`, `[{"role":"user","content":[null]}]`,
		`[{"role":"user","content":[{"type":"text","text":"x","image":1}]}]`,
	} {
		got, err := of(bad, "")
		var f *dlm.Fault
		if !errors.As(err, &f) || strings.Split(f.Param, ".")[0] != "messages" {
			t.Errorf("%s: %v %+v", bad, got, f)
		}
	}
}

func TestPrompts(t *testing.T) {
	of := func(prompt string) ([]dlm.GenerateRequest, error) {
		return plainOf([]byte(`{"model":"m","prompt":` + prompt + `}`))
	}
	for prompt, want := range map[string]Texts{
		`"a"`: {{Text: "a"}}, `["a","b"]`: {{Text: "a"}, {Text: "b"}}, `[1,2]`: {{IDs: []int32{1, 2}}}, `[[1],[2,3]]`: {{IDs: []int32{1}}, {IDs: []int32{2, 3}}},
	} {
		got, err := of(prompt)
		if err != nil || len(got) != len(want) {
			t.Errorf("%s: %v %v", prompt, got, err)
			continue
		}
		for i := range want {
			if got[i].Raw != want[i].Text || !slices.Equal(got[i].IDs, want[i].IDs) {
				t.Errorf("%s: %+v", prompt, got[i])
			}
		}
	}
	for _, bad := range []string{`""`, `[]`, `[""]`, `[[]]`, `null`, `3`, `{}`, `["a",1]`, `[1,"a"]`, `[[1],"a"]`, `[1.5]`, `[99999999999]`, `[null]`, `[1,null]`, `[[1,null]]`, `[[null,"x"]]`} {
		_, err := of(bad)
		var f *dlm.Fault
		if !errors.As(err, &f) || strings.Split(f.Param, ".")[0] != "prompt" {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := plainOf([]byte(`{"model":"m","n":128,"prompt":[` + strings.Repeat(`"a",`, 16) + `"a"]}`)); err == nil {
		t.Error("2176 completions are too many")
	}
}
