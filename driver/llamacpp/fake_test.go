package llamacpp

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"dlm"
	"dlm/internal/testkit"
)

// TestMain is llama-server too, when the driver runs the test binary again: a toy
// model over bytes, in the shapes of llama.cpp's answers of 2026.
func TestMain(m *testing.M) {
	if kind := os.Getenv("FAKE_LLAMA"); kind != "" {
		serve(kind)
	}
	os.Exit(m.Run())
}

// loras are the adapters that the fake was started with.
var loras []string

func serve(kind string) {
	args := flag.NewFlagSet("llama-server", flag.ExitOnError)
	model, host, port := args.String("model", "", ""), args.String("host", "", ""), args.String("port", "", "")
	args.Int("parallel", 0, "")
	args.Int("ctx-size", 0, "")
	args.Int("threads", 0, "")
	args.Func("lora", "", func(f string) error { loras = append(loras, f); return nil })
	args.Bool("lora-init-without-apply", false, "")
	_ = args.Parse(os.Args[1:])
	if raw, err := os.ReadFile(*model); err != nil || !strings.HasPrefix(string(raw), "GGUF") {
		fmt.Fprintln(os.Stderr, "error loading model: invalid magic characters")
		os.Exit(1)
	}
	asked := 0
	err := http.ListenAndServe(*host+":"+*port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			if asked++; asked < 3 {
				fail(w, 503, "Loading model")
			}
			return
		}
		if r.URL.Path == "/lora-adapters" {
			list := []any{}
			for i, f := range loras {
				list = append(list, map[string]any{"id": i, "path": f, "scale": 0})
			}
			_ = json.NewEncoder(w).Encode(list)
			return
		}
		complete(kind, w, r)
	}))
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func fail(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": message, "code": status}})
}

// asked is what the fake reads of a body.
type asked struct {
	request
	Bias   [][2]float64    `json:"logit_bias"`
	Schema json.RawMessage `json:"json_schema"`
}

// sampling reads a body in the port's words.
func (q *asked) sampling() (dlm.Sampling, *dlm.Format) {
	s := dlm.Sampling{MaxTokens: q.MaxTokens, Temperature: q.Temperature, RepetitionPenalty: q.Repetition, Seed: uint64(q.Seed), LogitBias: map[int32]float64{}}
	for _, b := range q.Bias {
		s.LogitBias[int32(b[0])] = b[1]
	}
	switch {
	case string(q.Schema) == `{"type":"object"}`:
		return s, &dlm.Format{JSON: true}
	case q.Schema != nil:
		return s, &dlm.Format{Schema: q.Schema}
	case q.Grammar != "":
		f := &dlm.Format{}
		for c := range strings.SplitSeq(strings.TrimPrefix(q.Grammar, "root ::= "), " | ") {
			c, _ = strconv.Unquote(c)
			f.Choices = append(f.Choices, c)
		}
		return s, f
	}
	return s, nil
}

func complete(kind string, w http.ResponseWriter, r *http.Request) {
	var q asked
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		fail(w, 400, err.Error())
		return
	}
	m := testkit.Toy{Base: 7}
	for _, l := range q.LoRA {
		m.Strength += l.Scale * float64(l.ID+1)
	}
	event := func(v map[string]any) {
		b, _ := json.Marshal(v)
		if q.Stream {
			b = fmt.Appendf(nil, "data: %s\n\n", b)
		}
		w.Write(b)
		w.(http.Flusher).Flush()
	}
	tokens, probs, n := []int32{}, []any{}, 0
	s, format := q.sampling()
	m.Complete(q.Prompt, s, format, func(id int32, lp []float64) bool {
		if n++; kind == "die" && n == 3 {
			fmt.Fprintln(os.Stderr, "ggml_abort: out of memory")
			os.Exit(134)
		}
		tokens = append(tokens, id)
		if q.Stream || id != '~' {
			probs = append(probs, told(m, id, lp, q.Probs))
		}
		if kind == "old" {
			probs = []any{}
		}
		if q.Stream && id != '~' { // as if it ended within a character
			event(map[string]any{"tokens": []int32{id}, "completion_probabilities": probs[max(0, len(probs)-1):], "stop": false, "tokens_predicted": n})
		}
		return r.Context().Err() == nil && !(kind == "eos" && n == 2) // an id that ends a text by the file alone
	})
	if q.Stream {
		tokens, probs = []int32{}, []any{}
	}
	how := "limit"
	if kind == "eos" {
		how = "eos"
	}
	event(map[string]any{"tokens": tokens, "completion_probabilities": probs, "stop": true, "stop_type": how, "tokens_predicted": n})
}

// told is what llama.cpp tells of a token.
func told(m testkit.Toy, id int32, lp []float64, k int) map[string]any {
	one := func(id int32) map[string]any {
		bytes := []int{}
		if id < 256 {
			bytes = append(bytes, int(id))
		}
		return map[string]any{"id": id, "logprob": lp[id], "bytes": bytes}
	}
	v, tops := one(id), []any{}
	for _, a := range m.Top(lp, k) {
		tops = append(tops, one(a.ID))
	}
	v["top_logprobs"] = tops
	return v
}
