package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdFakeServer starts a server of OpenAI's API that streams max_tokens words to
// whoever has its key, and sets SERVER_URL: fakeserver [KEY].
func cmdFakeServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: fakeserver [KEY]")
	}
	key := strings.Join(args, "")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key != "" && r.Header.Get("Authorization") != "Bearer "+key {
			http.Error(w, `{"error":{"message":"who asks?"}}`, http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/v1/models" {
			fmt.Fprint(w, `{"data":[{"id":"base"},{"id":"desk"}]}`)
			return
		}
		var req struct {
			Model     string
			MaxTokens int `json:"max_tokens"`
		}
		_ = json.NewDecoder(r.Body).Decode(&req)
		if req.Model == "lost" {
			http.Error(w, `{"error":{"message":"no such model"}}`, http.StatusNotFound)
			return
		}
		for range req.MaxTokens {
			fmt.Fprint(w, `data: {"choices":[{"text":"word ","delta":{"content":"word "}}]}`+"\n\n")
		}
		fmt.Fprintf(w, `data: {"model":%q,"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":%d}}`+"\n\ndata: [DONE]\n\n", req.Model, req.MaxTokens)
	}))
	ts.Defer(s.Close)
	ts.Setenv("SERVER_URL", s.URL)
}
