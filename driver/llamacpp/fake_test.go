package llamacpp

import (
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"

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

func serve(kind string) {
	args := flag.NewFlagSet("llama-server", flag.ExitOnError)
	model, host, port := args.String("model", "", ""), args.String("host", "", ""), args.String("port", "", "")
	args.Int("parallel", 0, "")
	args.Int("ctx-size", 0, "")
	args.Int("threads", 0, "")
	args.String("lora", "", "")
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
		complete(kind, w, r)
	}))
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func fail(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": message, "code": status}})
}

// logProbs is the distribution of the token after ids.
func logProbs(ids []int32) []float64 {
	h := fnv.New64a()
	for _, id := range ids[max(0, len(ids)-4):] {
		fmt.Fprint(h, id, ",")
	}
	r := rand.New(rand.NewPCG(h.Sum64(), 7))
	out, sum := make([]float64, testkit.ByteVocab), 0.0
	for i := range out {
		out[i] = r.NormFloat64() * 2
		if i >= 32 && i < 127 {
			out[i] += 6
		}
		sum += math.Exp(out[i])
	}
	for i := range out {
		out[i] -= math.Log(sum)
	}
	return out
}

func complete(kind string, w http.ResponseWriter, r *http.Request) {
	q := struct {
		request
		Bias [][2]float64 `json:"logit_bias"`
	}{}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		fail(w, 400, err.Error())
		return
	}
	ids := q.Prompt
	draw := rand.New(rand.NewPCG(uint64(q.Seed), 3))
	event := func(v map[string]any) {
		b, _ := json.Marshal(v)
		if q.Stream {
			fmt.Fprintf(w, "data: %s\n\n", b)
			w.(http.Flusher).Flush()
			return
		}
		w.Write(b)
	}
	var tokens, probs = []int32{}, []any{}
	for n := 1; n <= q.MaxTokens && r.Context().Err() == nil; n++ {
		if kind == "die" && n == 3 {
			fmt.Fprintln(os.Stderr, "ggml_abort: out of memory")
			os.Exit(134)
		}
		lp := logProbs(ids)
		id := choose(lp, q.request, ids, draw)
		for _, b := range q.Bias {
			id = int32(b[0])
		}
		tokens, probs = append(tokens, id), append(probs, map[string]any{"id": id, "logprob": lp[id]})
		if kind == "old" {
			probs = []any{}
		}
		ids = append(ids, id)
		if q.Stream {
			event(map[string]any{"tokens": []int32{id}, "completion_probabilities": probs[max(0, len(probs)-1):], "stop": false})
		}
		if id == testkit.ByteEnd {
			break
		}
		if kind == "eos" && n == 2 { // an id that ends a text by the file alone
			event(map[string]any{"tokens": []int32{}, "stop": true, "stop_type": "eos"})
			return
		}
	}
	if q.Stream {
		tokens, probs = []int32{}, []any{}
	}
	event(map[string]any{"tokens": tokens, "completion_probabilities": probs, "stop": true, "stop_type": "limit"})
}

// choose draws the next token.
func choose(lp []float64, q request, ids []int32, draw *rand.Rand) int32 {
	best, most := 0, math.Inf(-1)
	for i, v := range lp {
		if q.Repetition != 1 {
			for _, seen := range ids {
				if int(seen) == i {
					v *= q.Repetition
					break
				}
			}
		}
		if q.Temperature > 0 {
			v = v/q.Temperature - math.Log(-math.Log(draw.Float64()))
		}
		if v > most {
			best, most = i, v
		}
	}
	return int32(best)
}
