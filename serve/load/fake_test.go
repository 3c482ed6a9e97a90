package load

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// fake is an OpenAI-compatible server whose answers take a scripted time.
type fake struct {
	first, gap time.Duration // before the first piece, between pieces
	slots      chan struct{} // requests answered at once; nil = all
	answer     func(w http.ResponseWriter, req map[string]any) bool

	mu   sync.Mutex
	seen []map[string]any
	path []string
	auth []string
}

func (f *fake) serve(t *testing.T) *Server {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return &Server{URL: s.URL, Timeout: 20 * time.Second}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/models" {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"a"},{"id":"b"}]}`)
		return
	}
	var req map[string]any
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	f.seen, f.path, f.auth = append(f.seen, req), append(f.path, r.URL.Path), append(f.auth, r.Header.Get("Authorization"))
	f.mu.Unlock()
	if f.slots != nil {
		f.slots <- struct{}{}
		defer func() { <-f.slots }()
	}
	if f.answer != nil && f.answer(w, req) {
		return
	}
	f.stream(w, req)
}

// stream answers with max_tokens pieces of text.
func (f *fake) stream(w http.ResponseWriter, req map[string]any) {
	n, model := int(req["max_tokens"].(float64)), req["model"].(string)
	chat := req["messages"] != nil
	w.Header().Set("X-Dlm-Model", model+"@prod")
	w.Header().Set("X-Dlm-Adapter", "sha256:0123456789abcdef")
	if req["stream"] != true {
		time.Sleep(f.first)
		fmt.Fprintf(w, `{"model":%q,"choices":[{"message":{"content":"x"},"text":"x"}],"usage":{"prompt_tokens":7,"completion_tokens":%d}}`, model, n)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(s string) {
		fmt.Fprint(w, "data: "+s+"\n\n")
		w.(http.Flusher).Flush()
	}
	if chat {
		send(`{"choices":[{"delta":{"role":"assistant","content":""}}]}`)
	}
	for i := range n {
		if time.Sleep(f.gap); i == 0 {
			time.Sleep(f.first)
		}
		if chat {
			send(`{"choices":[{"delta":{"content":"x"}}]}`)
		} else {
			send(`{"choices":[{"text":"x"}]}`)
		}
	}
	if o, ok := req["stream_options"].(map[string]any); ok && o["include_usage"] == true {
		send(fmt.Sprintf(`{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":%d,"prompt_tokens_details":{"cached_tokens":3}}}`, n))
	}
	send("[DONE]")
}
