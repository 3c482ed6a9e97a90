package ollama

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"dlm"
	"dlm/internal/testkit"
)

// TestMain is ollama too, when the driver runs the test binary again: a toy model
// over printable bytes, in the shapes of Ollama 0.6.8's answers.
func TestMain(m *testing.M) {
	if kind := os.Getenv("FAKE_OLLAMA"); kind != "" {
		switch os.Args[1] {
		case "serve":
			serve(kind)
		case "create":
			create()
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

var fromLine = regexp.MustCompile(`(?m)^FROM (.*)$`)

// create is `ollama create NAME -f FILE`.
func create() {
	name, file := os.Args[2], os.Args[4]
	raw, err := os.ReadFile(file)
	from := fromLine.FindSubmatch(raw)
	if err == nil && from == nil {
		err = fmt.Errorf("no FROM line")
	}
	if err == nil {
		_, err = os.Stat(filepath.Join(filepath.Dir(file), string(from[1])))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "gathering model components\rError: %v\n", err)
		os.Exit(1)
	}
	resp, err := http.Post(os.Getenv("OLLAMA_HOST")+"/fake/create", "text/plain", strings.NewReader(name))
	if err != nil {
		os.Exit(1)
	}
	resp.Body.Close()
	os.Exit(0)
}

type server struct {
	kind   string
	mu     sync.Mutex
	models map[string]bool
}

func serve(kind string) {
	s := &server{kind: kind, models: map[string]bool{}}
	fmt.Fprintln(os.Stderr, http.ListenAndServe(strings.TrimPrefix(os.Getenv("OLLAMA_HOST"), "http://"), s))
	os.Exit(1)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.URL.Path {
	case "/api/version":
		fmt.Fprint(w, `{"version":"0.6.8"}`)
	case "/fake/create":
		s.models[string(raw)] = true
	case "/api/delete":
		var v struct{ Model string }
		_ = json.Unmarshal(raw, &v)
		delete(s.models, v.Model)
	case "/api/embed":
		fmt.Fprint(w, `{"embeddings":[[3,4]],"prompt_eval_count":5}`)
	case "/api/chat", "/api/generate":
		s.mu.Unlock()
		s.answer(w, r, raw)
		s.mu.Lock()
	}
}

// asked is what the fake reads of a body.
type asked struct {
	request
	Format  json.RawMessage `json:"format"`
	Options struct {
		Predict     int      `json:"num_predict"`
		Temperature float64  `json:"temperature"`
		Seed        uint64   `json:"seed"`
		Stop        []string `json:"stop"`
	} `json:"options"`
}

func (s *server) answer(w http.ResponseWriter, r *http.Request, raw []byte) {
	var q asked
	if err := json.Unmarshal(raw, &q); err != nil || !s.models[q.Model] {
		w.WriteHeader(404)
		fmt.Fprintf(w, `{"error":"model '%s' not found"}`, q.Model)
		return
	}
	prompt, _ := testkit.ByteCodec{}.Prompt(nil, q.Prompt+" ")
	for _, m := range q.Messages {
		more, _ := testkit.ByteCodec{}.Prompt(nil, m.Role+m.Content)
		prompt = append(prompt, more...)
	}
	line := func(v map[string]any) {
		b, _ := json.Marshal(v)
		w.Write(append(b, '\n'))
		w.(http.Flusher).Flush()
	}
	text := testkit.ByteCodec{}.Spell(q.Options.Stop)
	show := func(s string) {
		if s == "" {
			return
		}
		if q.Raw {
			line(map[string]any{"response": s, "done": false})
			return
		}
		line(map[string]any{"message": map[string]string{"role": "assistant", "content": s}, "done": false})
	}
	var format *dlm.Format
	if string(q.Format) == `"json"` {
		format = &dlm.Format{JSON: true}
	} else if q.Format != nil {
		format = &dlm.Format{Schema: q.Format}
	}
	n, failed := 0, false
	reason := testkit.Toy{Base: 7, Printable: true}.Complete(prompt, dlm.Sampling{MaxTokens: q.Options.Predict, Temperature: q.Options.Temperature, Seed: q.Options.Seed}, format, func(id int32, _ []float64) bool {
		if n++; s.kind == "die" && n == 3 {
			fmt.Fprintln(os.Stderr, "llama runner process has terminated")
			os.Exit(2)
		}
		if failed = s.kind == "error" && n == 3; failed {
			line(map[string]any{"error": "unexpected EOF of the runner"})
			return false
		}
		if id == testkit.ByteEnd {
			return true
		}
		piece, stopped := text.Push(id)
		show(piece)
		return !stopped && r.Context().Err() == nil
	})
	if failed {
		return
	}
	show(text.Flush())
	line(map[string]any{"done": true, "done_reason": reason, "prompt_eval_count": len(prompt)})
}
