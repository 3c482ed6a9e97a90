package openai

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"dlm"
	"dlm/internal/testkit"
)

// fake is a server of a toy model over bytes, in the shapes of OpenAI's API;
// with vllm it knows vLLM's fields, without it refuses unknown ones.
type fake struct {
	vllm    bool
	silent  bool     // it tells no log-probabilities
	refuses []string // what it is not to be asked
	fail    func(w http.ResponseWriter, r *http.Request) bool
	event   string // put into a stream after the third token
	cut     bool   // ... which then breaks off

	mu   sync.Mutex
	seen []map[string]any
}

var toys = map[string]testkit.Toy{
	"base": {Base: 11, Printable: true}, "bank": {Base: 11, Adapter: 3, Strength: 1, Printable: true},
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.fail != nil && f.fail(w, r) {
		return
	}
	switch r.URL.Path {
	case "/v1/models":
		fmt.Fprint(w, `{"object":"list","data":[{"id":"base","object":"model","owned_by":"toy","max_model_len":512},{"id":"bank","parent":"base","root":"/a"}]}`)
	case "/v1/chat/completions", "/v1/completions":
		f.complete(w, r)
	case "/v1/embeddings":
		var q struct{ Model, Input string }
		_ = json.NewDecoder(r.Body).Decode(&q)
		fmt.Fprintf(w, `{"data":[{"embedding":[3,%d],"index":0}],"usage":{"prompt_tokens":%d}}`, len(q.Input), len(q.Input))
	default:
		http.NotFound(w, r)
	}
}

// wire is what the fake reads of a body.
type wire struct {
	request
	LogProbs json.RawMessage `json:"logprobs"`
	Prompt   json.RawMessage `json:"prompt"`
	Format   struct {
		Type   string `json:"type"`
		Schema struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	} `json:"response_format"`
	Structured struct {
		Regex  string   `json:"regex"`
		Choice []string `json:"choice"`
	} `json:"structured_outputs"`
}

func refuse(w http.ResponseWriter, status int, param, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": message, "type": "invalid_request_error", "param": param, "code": nil}})
}

func (f *fake) complete(w http.ResponseWriter, r *http.Request) {
	var all map[string]any
	var q wire
	if err := json.NewDecoder(r.Body).Decode(&all); err != nil {
		refuse(w, 400, "", err.Error())
		return
	}
	raw, _ := json.Marshal(all)
	if err := json.Unmarshal(raw, &q); err != nil {
		refuse(w, 400, "", err.Error())
		return
	}
	f.mu.Lock()
	f.seen = append(f.seen, all)
	f.mu.Unlock()
	for _, field := range []string{"top_k", "min_p", "repetition_penalty", "min_tokens", "ignore_eos", "stop_token_ids", "structured_outputs"} {
		if _, ok := all[field]; ok && !f.vllm {
			refuse(w, 400, field, "Request argument not known: "+field)
			return
		}
	}
	m, ok := toys[q.Model]
	if !ok {
		refuse(w, 404, "model", "The model `"+q.Model+"` does not exist.")
		return
	}
	var text string
	var ids []int32
	if json.Unmarshal(q.Prompt, &text) != nil {
		_ = json.Unmarshal(q.Prompt, &ids)
	}
	if ids == nil {
		ids, _ = testkit.ByteCodec{}.Prompt(q.Messages, text)
	}
	if len(ids) >= 512 {
		refuse(w, 400, "messages", "This model's maximum context length is 512 tokens.")
		return
	}
	a := answer{f: f, w: w, q: &q, m: m, ids: ids}
	if a.top = -1; q.TopLogProbs != nil && string(q.LogProbs) == "true" {
		a.top = *q.TopLogProbs
	} else if len(q.LogProbs) > 0 {
		_ = json.Unmarshal(q.LogProbs, &a.top)
	}
	if f.silent {
		a.top = -1
	}
	if q.Echo {
		a.echo()
		return
	}
	a.stream(r)
}

// answer is one completion of the fake's.
type answer struct {
	f   *fake
	w   http.ResponseWriter
	q   *wire
	m   testkit.Toy
	ids []int32
	top int // -1: no log-probabilities were asked
}

func (a *answer) echo() {
	values, tokens, tops := []any{}, []string{}, []any{}
	for i, t := range a.m.Reported(a.ids, a.top) {
		top := map[string]float64{}
		for _, t := range t.Top {
			top[string(t.Bytes)] = t.LogProb
		}
		if values, tops, tokens = append(values, t.LogProb), append(tops, top), append(tokens, string(t.Bytes)); i == 0 {
			values[0], tops[0] = nil, nil
		}
	}
	_ = json.NewEncoder(a.w).Encode(map[string]any{
		"choices": []any{map[string]any{"text": "", "finish_reason": "length", "logprobs": map[string]any{"tokens": tokens, "token_logprobs": values, "top_logprobs": tops}}},
		"usage":   map[string]any{"prompt_tokens": len(a.ids)},
	})
}

func (a *answer) sampling() (dlm.Sampling, *dlm.Format) {
	q := a.q
	s := dlm.Sampling{Temperature: q.Temperature, TopP: q.TopP, Stop: q.Stop, PresencePenalty: q.Presence, FrequencyPenalty: q.Frequency,
		RepetitionPenalty: q.Repetition, MinTokens: q.MinTokens, IgnoreEOS: q.IgnoreEOS, StopIDs: q.StopIDs, LogitBias: map[int32]float64{}}
	if q.MaxTokens != nil {
		s.MaxTokens = *q.MaxTokens
	}
	if q.Seed != nil {
		s.Seed = uint64(*q.Seed)
	}
	for k, v := range q.Bias {
		id, _ := strconv.Atoi(k)
		s.LogitBias[int32(id)] = v
	}
	f := dlm.Format{JSON: q.Format.Type == "json_object", Schema: q.Format.Schema.Schema, Regex: q.Structured.Regex, Choices: q.Structured.Choice}
	if f.JSON || f.Schema != nil || f.Regex != "" || f.Choices != nil {
		return s, &f
	}
	return s, nil
}

// event sends a piece of the stream.
func (a *answer) event(text string, logprobs any, finish any) {
	choice := map[string]any{"index": 0, "logprobs": logprobs, "finish_reason": finish}
	if a.q.chat() {
		choice["delta"] = map[string]any{"content": text}
	} else {
		choice["text"] = text
	}
	b, _ := json.Marshal(map[string]any{"object": "chunk", "choices": []any{choice}})
	fmt.Fprintf(a.w, "data: %s\n\n", b)
	a.w.(http.Flusher).Flush()
}

func (a *answer) stream(r *http.Request) {
	s, format := a.sampling()
	text, n := testkit.ByteCodec{}.Spell(s.Stop), 0
	if a.q.chat() {
		a.event("", nil, nil) // the role
	}
	finish := a.m.Complete(a.ids, s, format, func(id int32, logps []float64) bool {
		piece, stopped := "", false
		if id != testkit.ByteEnd || s.IgnoreEOS {
			piece, stopped = text.Push(id)
		}
		if n++; n == s.MaxTokens || id == testkit.ByteEnd {
			piece += text.Flush()
		}
		a.event(piece, a.told(id, logps), nil)
		if n == 3 && a.f.event != "" {
			fmt.Fprintf(a.w, "data: %s\n\n", a.f.event)
			return false
		}
		select {
		case <-r.Context().Done():
			return false
		case <-time.After(300 * time.Microsecond):
		}
		return !stopped
	})
	if a.f.cut {
		return
	}
	a.event("", nil, finish)
	fmt.Fprintf(a.w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"prompt_tokens_details\":{\"cached_tokens\":1}}}\n\ndata: [DONE]\n\n", len(a.ids))
}

// told is what a token's log-probabilities look like.
func (a *answer) told(id int32, logps []float64) any {
	if a.top < 0 {
		return nil
	}
	piece := func(id int32) string {
		if b := (testkit.ByteCodec{}).Bytes(id); utf8.Valid(b) {
			return string(b)
		}
		return "\uFFFD"
	}
	if !a.q.chat() {
		top := map[string]float64{}
		for _, t := range a.m.Top(logps, a.top) {
			top[piece(t.ID)] = t.LogProb
		}
		return map[string]any{"tokens": []string{piece(id)}, "token_logprobs": []float64{logps[id]}, "top_logprobs": []any{top}}
	}
	one := func(id int32) map[string]any {
		bytes := []int{}
		for _, b := range (testkit.ByteCodec{}).Bytes(id) {
			bytes = append(bytes, int(b))
		}
		return map[string]any{"token": piece(id), "logprob": logps[id], "bytes": bytes}
	}
	entry, tops := one(id), []any{}
	for _, t := range a.m.Top(logps, a.top) {
		tops = append(tops, one(t.ID))
	}
	entry["top_logprobs"] = tops
	return map[string]any{"content": []any{entry}}
}
