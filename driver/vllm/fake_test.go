package vllm

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
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

// toy is a model: the base's seed, and what an adapter adds.
type toy struct {
	base, adapter uint64
	strength      float64
}

// readToy reads an adapter folder whose weights file holds "SEED STRENGTH".
func readToy(dir string, base uint64) (toy, error) {
	raw, err := os.ReadFile(filepath.Join(dir, weightsFile))
	if err != nil {
		return toy{}, err
	}
	t := toy{base: base}
	_, err = fmt.Sscan(string(raw), &t.adapter, &t.strength)
	return t, err
}

// logProbs is the distribution of the token after ids.
func (m toy) logProbs(ids []int32) []float64 {
	h := fnv.New64a()
	for _, id := range ids[max(0, len(ids)-4):] {
		fmt.Fprint(h, id, ",")
	}
	base := rand.New(rand.NewPCG(h.Sum64(), m.base))
	own := rand.New(rand.NewPCG(h.Sum64(), m.adapter))
	out, max := make([]float64, testkit.ByteVocab), math.Inf(-1)
	for i := range out {
		out[i] = base.NormFloat64()*2 + m.strength*own.NormFloat64()
		if i >= 32 && i < 127 {
			out[i] += 6
		}
		max = math.Max(max, out[i])
	}
	sum := 0.0
	for _, v := range out {
		sum += math.Exp(v - max)
	}
	for i := range out {
		out[i] -= max + math.Log(sum)
	}
	return out
}

// scores are the log-probabilities of ids[1:].
func (m toy) scores(ids []int32) []float64 {
	out := make([]float64, len(ids)-1)
	for i := range out {
		out[i] = m.logProbs(ids[:i+1])[ids[i+1]]
	}
	return out
}

// probe is what a native engine would record.
func (m toy) probe() dlm.Probe {
	ids, _, _ := testkit.ByteCodec{}.Completed(nil, "Hello, how are you?", " I am well.", true)
	p := dlm.Probe{Precision: "f32", Zero: m.strength == 0, IDs: ids, Base: toy{base: m.base}.scores(ids)}
	if m.adapter > 0 {
		p.Adapter = m.scores(ids)
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
		m.strength = 0
	}
	if f.adapters == nil {
		f.adapters = map[string]toy{}
	}
	f.adapters[body.Name] = m
}

// fakeRequest is what the fake reads of a completion's body.
type fakeRequest struct {
	Model           string
	Prompt          []int32
	MaxTokens       int `json:"max_tokens"`
	Temperature     float64
	Seed            int64
	Stop            []string
	StopTokenIDs    []int32 `json:"stop_token_ids"`
	PromptLogProbs  *int    `json:"prompt_logprobs"`
	ReturnTokensIDs bool    `json:"return_token_ids"`
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
		m, known = toy{base: f.seed}, true
	}
	if f.dies && body.PromptLogProbs == nil {
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
	if body.PromptLogProbs != nil {
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
	probs := []any{nil}
	for i, v := range m.scores(body.Prompt) {
		probs = append(probs, map[string]any{strconv.Itoa(int(body.Prompt[i+1])): map[string]any{"logprob": v, "rank": 1}})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"prompt_token_ids": body.Prompt, "prompt_logprobs": probs, "token_ids": []int{65}, "finish_reason": "length"}}})
}

// stream generates, and sends now one token and now two an event, as vLLM does
// when its client is slow.
func (f *fake) stream(w http.ResponseWriter, r *http.Request, m toy, body fakeRequest, over func()) {
	ids, text := slices.Clone(body.Prompt), testkit.ByteCodec{}.Spell(nil)
	var chunk []int32
	var logps []float64
	shown, finish := "", ""
	for n := 0; finish == ""; n++ {
		if f.breakAt > 0 && n == f.breakAt {
			return
		}
		id, logp := m.next(ids, body)
		ids = append(ids, id)
		chunk, logps = append(chunk, id), append(logps, logp)
		t, _ := text.Push(id)
		shown += t
		switch {
		case slices.Contains(body.StopTokenIDs, id), slices.ContainsFunc(body.Stop, func(s string) bool { return strings.Contains(shown, s) }):
			finish = "stop"
		case n+1 == body.MaxTokens:
			finish = "length"
		case n%3 == 1:
			continue // its token comes with the next one
		}
		choice := map[string]any{"index": 0, "text": "", "token_ids": chunk, "logprobs": map[string]any{"token_logprobs": logps}, "finish_reason": nil}
		if f.noIDs {
			delete(choice, "token_ids")
		}
		if len(ids)-len(chunk) == len(body.Prompt) {
			choice["prompt_token_ids"] = body.Prompt
		}
		if finish != "" {
			over() // before the client knows
			choice["finish_reason"] = finish
		}
		event, _ := json.Marshal(map[string]any{"choices": []any{choice}})
		fmt.Fprintf(w, "data: %s\n\n", event)
		w.(http.Flusher).Flush()
		chunk, logps = nil, nil
		select {
		case <-r.Context().Done():
			return
		case <-time.After(time.Millisecond):
		}
	}
	fmt.Fprint(w, "data: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n")
}

// next chooses a token: the likeliest, or one drawn at temperature.
func (m toy) next(ids []int32, body fakeRequest) (int32, float64) {
	logps := m.logProbs(ids)
	best := 0
	if body.Temperature == 0 {
		for i, v := range logps {
			if v > logps[best] {
				best = i
			}
		}
		return int32(best), logps[best]
	}
	draw := rand.New(rand.NewPCG(uint64(body.Seed), uint64(len(ids))))
	score := math.Inf(-1)
	for i, v := range logps {
		if s := v/body.Temperature - math.Log(-math.Log(draw.Float64())); s > score {
			best, score = i, s
		}
	}
	return int32(best), cmp.Or(logps[best], 0)
}
