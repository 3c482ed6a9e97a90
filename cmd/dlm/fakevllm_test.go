package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"dlm"
)

// fakeVLLM answers probes as the script's own base and adapters do, and every
// other prompt with nothing. A deaf one answers as the base whoever is asked.
type fakeVLLM struct {
	probes string // folder of the base's probes
	deaf   bool
	mu     sync.Mutex
	loras  map[string]dlm.Probe
}

// cmdFakeVLLM starts a vLLM and sets VLLM_URL: fakevllm [deaf].
func cmdFakeVLLM(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 || len(args) == 1 && args[0] != "deaf" {
		ts.Fatalf("usage: fakevllm [deaf]")
	}
	s := httptest.NewServer(&fakeVLLM{probes: filepath.Join(ts.Getenv("DLM_CACHE"), "probes"), deaf: len(args) == 1, loras: map[string]dlm.Probe{}})
	ts.Defer(s.Close)
	ts.Setenv("VLLM_URL", s.URL)
}

func readProbe(path string) (dlm.Probe, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return dlm.Probe{}, err
	}
	return dlm.ParseProbe(raw)
}

func (f *fakeVLLM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name    string `json:"lora_name"`
		Path    string `json:"lora_path"`
		Model   string
		Prompt  []int32
		Stop    []int32 `json:"stop_token_ids"`
		Scoring *int    `json:"prompt_logprobs"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.URL.Path {
	case "/version":
		fmt.Fprint(w, `{"version":"0.32.0"}`)
	case "/v1/models":
		fmt.Fprint(w, `{"data":[{"id":"base","parent":null}]}`)
	case "/v1/load_lora_adapter":
		p, err := readProbe(filepath.Join(body.Path, dlm.ProbeFile))
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"error":{"message":"No adapter found: %v"}}`, err)
		}
		f.loras[body.Name] = p
	case "/v1/unload_lora_adapter":
		delete(f.loras, body.Name)
	case "/v1/completions":
		choice := map[string]any{"prompt_token_ids": body.Prompt, "token_ids": body.Stop[:min(1, len(body.Stop))], "finish_reason": "stop"}
		if body.Scoring != nil {
			choice["prompt_logprobs"] = f.scores(body.Model, body.Prompt)
			_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{choice}})
			return
		}
		choice["logprobs"] = map[string]any{"token_logprobs": []float64{-0.25}}
		raw, _ := json.Marshal(map[string]any{"choices": []any{choice}})
		fmt.Fprintf(w, "data: %s\n\ndata: [DONE]\n\n", raw)
	}
}

// scores answers a probe from what was recorded, anything else with -1 a token.
func (f *fakeVLLM) scores(model string, ids []int32) []any {
	var logps []float64
	if p, ok := f.loras[model]; ok && slices.Equal(p.IDs, ids) {
		if logps = p.Adapter; f.deaf {
			logps = p.Base
		}
	}
	files, _ := filepath.Glob(filepath.Join(f.probes, "*.json"))
	for _, file := range files {
		if p, err := readProbe(file); err == nil && logps == nil && slices.Equal(p.IDs, ids) {
			logps = p.Base
		}
	}
	out := []any{nil}
	for i, id := range ids[1:] {
		v := -1.0
		if i < len(logps) {
			v = logps[i]
		}
		out = append(out, map[string]any{strconv.Itoa(int(id)): map[string]any{"logprob": v}})
	}
	return out
}
