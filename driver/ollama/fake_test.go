package ollama

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

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
	case "/api/chat", "/api/generate":
		s.mu.Unlock()
		s.answer(w, r, raw)
		s.mu.Lock()
	}
}

func (s *server) answer(w http.ResponseWriter, r *http.Request, raw []byte) {
	var q struct {
		request
		Options struct {
			Predict     int      `json:"num_predict"`
			Temperature float64  `json:"temperature"`
			Seed        uint64   `json:"seed"`
			Stop        []string `json:"stop"`
		} `json:"options"`
	}
	if err := json.Unmarshal(raw, &q); err != nil || !s.models[q.Model] {
		w.WriteHeader(404)
		fmt.Fprintf(w, `{"error":"model '%s' not found"}`, q.Model)
		return
	}
	prompt := []byte(q.Prompt)
	for _, m := range q.Messages {
		prompt = fmt.Append(prompt, m.Role, m.Content)
	}
	line := func(v map[string]any) {
		b, _ := json.Marshal(v)
		w.Write(append(b, '\n'))
		w.(http.Flusher).Flush()
	}
	text, reason := testkit.ByteCodec{}.Spell(q.Options.Stop), "length"
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
	draw := rand.New(rand.NewPCG(q.Options.Seed, 3))
	for n := 0; n < q.Options.Predict && r.Context().Err() == nil; n++ {
		if s.kind == "die" && n == 2 {
			fmt.Fprintln(os.Stderr, "llama runner process has terminated")
			os.Exit(2)
		}
		if s.kind == "error" && n == 2 {
			line(map[string]any{"error": "unexpected EOF of the runner"})
			return
		}
		id := next(prompt, q.Options.Temperature, draw)
		piece, stopped := text.Push(id)
		show(piece)
		if prompt = append(prompt, byte(id)); stopped {
			reason = "stop"
			break
		}
	}
	if reason == "length" {
		show(text.Flush())
	}
	line(map[string]any{"done": true, "done_reason": reason})
}

// next draws a printable byte.
func next(prompt []byte, temperature float64, draw *rand.Rand) int32 {
	h := fnv.New64a()
	h.Write(bytes.Clone(prompt[max(0, len(prompt)-4):]))
	r := rand.New(rand.NewPCG(h.Sum64(), 7))
	best, most := int32(0), math.Inf(-1)
	for id := int32(32); id < 127; id++ {
		v := r.NormFloat64() * 2
		if temperature > 0 {
			v = v/temperature - math.Log(-math.Log(draw.Float64()))
		}
		if v > most {
			best, most = id, v
		}
	}
	return best
}
