package vllm

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dlm"
	"dlm/internal/testkit"
)

// fake is a vLLM of a toy model over bytes: what its server answers, in the
// shapes of vLLM 0.32, defects included where a test asks for them.
type fake struct {
	key      string // that requests must bear
	seed     uint64 // of the base: another seed is another base
	deaf     bool   // adapters are loaded and answer as the base
	noIDs    bool   // an older vLLM: it returns no token ids
	addBOS   bool   // it puts a token before the prompt
	dies     bool   // its engine dies at the first completion, and it ends a moment later
	breakAt  int    // tokens after which a stream breaks off; 0: never
	onlyBase bool   // no runtime LoRA

	under atomic.Int32 // completions under way

	mu       sync.Mutex
	adapters map[string]toy
	seen     []map[string]any // bodies of completions
	dropped  int              // connections still to be dropped before an answer
}

// toy is the model that answers, and what an adapter folder holds.
type toy struct{ testkit.Toy }

func newToy(base, adapter uint64, strength float64) toy {
	return toy{testkit.Toy{Base: base, Adapter: adapter, Strength: strength}}
}

// readToy reads an adapter folder whose weights file holds "SEED STRENGTH".
func readToy(dir string, base uint64) (toy, error) {
	raw, err := os.ReadFile(filepath.Join(dir, weightsFile))
	if err != nil {
		return toy{}, err
	}
	t := newToy(base, 0, 0)
	_, err = fmt.Sscan(string(raw), &t.Adapter, &t.Strength)
	return t, err
}

// probe is what a native engine would record.
func (m toy) probe() dlm.Probe {
	ids, _, _ := testkit.ByteCodec{}.Completed(nil, "Hello, how are you?", " I am well.", true)
	p := dlm.Probe{Precision: "f32", Zero: m.Strength == 0, IDs: ids, Base: newToy(m.Base, 0, 0).Scores(ids)}
	if m.Adapter > 0 {
		p.Adapter = m.Scores(ids)
	}
	return p
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.drop(w) {
		return
	}
	if f.key != "" && r.Header.Get("Authorization") != "Bearer "+f.key {
		if r.URL.Path != "/health" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"Unauthorized"}`)
			return
		}
	}
	switch r.URL.Path {
	case "/health":
	case "/metrics":
		fmt.Fprintf(w, "vllm:num_requests_running{engine=\"0\"} %d.0\n", f.under.Load())
	case "/version":
		fmt.Fprint(w, `{"version":"0.32.0"}`)
	case "/v1/models":
		f.models(w)
	case "/v1/completions":
		f.completion(w, r)
	case "/v1/load_lora_adapter", "/v1/unload_lora_adapter":
		if f.onlyBase {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"detail":"Not Found"}`)
			return
		}
		f.lora(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"detail":"Not Found"}`)
	}
}

// drop closes connections without an answer while some are to be dropped.
func (f *fake) drop(w http.ResponseWriter) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dropped == 0 {
		return false
	}
	f.dropped--
	if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
		c.Close()
	}
	return true
}

func fail(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": message, "type": "BadRequestError", "code": status}})
}

func (f *fake) models(w http.ResponseWriter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data := []any{map[string]any{"id": "base", "parent": nil, "max_model_len": 512}}
	for _, name := range slices.Sorted(maps.Keys(f.adapters)) {
		data = append(data, map[string]any{"id": name, "parent": "base"})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
}

func (f *fake) lora(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name string `json:"lora_name"`
		Path string `json:"lora_path"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		fail(w, 400, err.Error())
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, loaded := f.adapters[body.Name]
	if strings.Contains(r.URL.Path, "unload") {
		if !loaded {
			fail(w, 404, "The lora adapter '"+body.Name+"' cannot be found.")
			return
		}
		delete(f.adapters, body.Name)
		return
	}
	if loaded {
		fail(w, 400, "The lora adapter '"+body.Name+"' has already been loaded.")
		return
	}
	m, err := readToy(body.Path, f.seed)
	if err != nil {
		fail(w, 404, "Loading lora "+body.Name+" failed: No adapter found for "+body.Path)
		return
	}
	if f.deaf {
		m.Strength = 0
	}
	if f.adapters == nil {
		f.adapters = map[string]toy{}
	}
	f.adapters[body.Name] = m
}

// fakeRequest is what the fake reads of a completion's body.
type fakeRequest struct {
	request
	Structured struct {
		JSON   json.RawMessage `json:"json"`
		Object bool            `json:"json_object"`
		Regex  string          `json:"regex"`
		Choice []string        `json:"choice"`
	} `json:"structured_outputs"`
}

// sampling reads what was asked; a fault is what vLLM would refuse.
func (q *fakeRequest) sampling() (dlm.Sampling, *dlm.Format) {
	s := dlm.Sampling{MaxTokens: q.MaxTokens, MinTokens: q.MinTokens, Temperature: q.Temperature, RepetitionPenalty: q.Repetition,
		PresencePenalty: q.Presence, FrequencyPenalty: q.Frequency, LogitBias: map[int32]float64{}, StopIDs: q.StopIDs, IgnoreEOS: q.IgnoreEOS}
	if q.Seed != nil {
		s.Seed = uint64(*q.Seed)
	}
	for k, v := range q.Bias {
		id, _ := strconv.Atoi(k)
		s.LogitBias[int32(id)] = v
	}
	o := q.Structured
	f := &dlm.Format{JSON: o.Object, Schema: o.JSON, Regex: o.Regex, Choices: o.Choice}
	if f.Validate() != nil {
		f = nil
	}
	return s, f
}

func (f *fake) completion(w http.ResponseWriter, r *http.Request) {
	var all map[string]any
	var body fakeRequest
	d := json.NewDecoder(r.Body)
	if err := d.Decode(&all); err != nil {
		fail(w, 400, err.Error())
		return
	}
	raw, _ := json.Marshal(all)
	if err := json.Unmarshal(raw, &body); err != nil {
		fail(w, 400, err.Error())
		return
	}
	f.mu.Lock()
	f.seen = append(f.seen, all)
	m, known := f.adapters[body.Model]
	f.mu.Unlock()
	if body.Model == "base" {
		m, known = newToy(f.seed, 0, 0), true
	}
	if f.dies && body.PromptProbs == nil {
		fmt.Println("(EngineCore pid=3) ERROR 11-24 13:41:17 [core.py:7] TimeoutError: RPC call to execute_model timed out.")
		fail(w, 500, "EngineCore encountered an issue. See stack trace (above) for the root cause.")
		time.AfterFunc(100*time.Millisecond, func() { os.Exit(1) })
		return
	}
	if !known {
		fail(w, 404, "The model `"+body.Model+"` does not exist.")
		return
	}
	if len(body.Prompt)+body.MaxTokens > 512 {
		fail(w, 400, "This model's maximum context length is 512 tokens.")
		return
	}
	if f.addBOS {
		body.Prompt = append([]int32{testkit.ByteStart}, body.Prompt...)
	}
	n := f.under.Add(1)
	over := sync.OnceFunc(func() { f.under.Add(-1) })
	defer over()
	if body.PromptProbs != nil {
		if n > 1 {
			fail(w, 500, "EngineCore encountered an issue: a scoring shared its step") // as vLLM on processors dies
			return
		}
		time.Sleep(time.Millisecond)
		f.scored(w, m, body)
		return
	}
	f.stream(w, r, m, body, over)
}

func (f *fake) scored(w http.ResponseWriter, m toy, body fakeRequest) {
	probs := []any{}
	for i, t := range m.Reported(body.Prompt, *body.PromptProbs) {
		at := map[string]any{strconv.Itoa(int(t.ID)): map[string]any{"logprob": t.LogProb, "rank": 1}}
		for _, a := range t.Top {
			at[strconv.Itoa(int(a.ID))] = map[string]any{"logprob": a.LogProb}
		}
		if i == 0 {
			probs = append(probs, nil)
			continue
		}
		probs = append(probs, at)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"prompt_token_ids": body.Prompt, "prompt_logprobs": probs, "token_ids": []int{65}, "finish_reason": "length"}}})
}

// streamed is a chunk on its way.
type streamed struct {
	ids  []int32
	logp []float64
	tops []map[string]float64
}

// stream generates, and sends now one token and now two an event, as vLLM does
// when its client is slow.
func (f *fake) stream(w http.ResponseWriter, r *http.Request, m toy, body fakeRequest, over func()) {
	s, format := body.sampling()
	text, shown, n, first := testkit.ByteCodec{}.Spell(nil), "", 0, true
	var c streamed
	send := func(finish any) {
		choice := map[string]any{"index": 0, "text": "", "token_ids": c.ids, "logprobs": map[string]any{"token_logprobs": c.logp, "top_logprobs": c.tops}, "finish_reason": finish}
		if f.noIDs {
			delete(choice, "token_ids")
		}
		if first {
			choice["prompt_token_ids"] = body.Prompt
		}
		event, _ := json.Marshal(map[string]any{"choices": []any{choice}})
		fmt.Fprintf(w, "data: %s\n\n", event)
		w.(http.Flusher).Flush()
		c, first = streamed{}, false
	}
	broken := false
	finish := m.Complete(body.Prompt, s, format, func(id int32, logps []float64) bool {
		if broken = f.breakAt > 0 && n == f.breakAt; broken {
			return false
		}
		c.ids, c.logp = append(c.ids, id), append(c.logp, logps[id])
		top := map[string]float64{"token_id:" + strconv.Itoa(int(id)): logps[id]}
		for _, a := range m.Top(logps, *body.LogProbs) {
			top["token_id:"+strconv.Itoa(int(a.ID))] = a.LogProb
		}
		c.tops = append(c.tops, top)
		t, _ := text.Push(id)
		shown += t
		if slices.ContainsFunc(body.Stop, func(s string) bool { return strings.Contains(shown, s) }) {
			return false
		}
		if n++; n%3 != 2 && n < body.MaxTokens { // else its token comes with the next one
			send(nil)
		}
		select {
		case <-r.Context().Done():
			return false
		case <-time.After(time.Millisecond):
		}
		return true
	})
	if broken {
		return
	}
	over() // before the client knows
	send(finish)
	fmt.Fprint(w, "data: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n")
}
