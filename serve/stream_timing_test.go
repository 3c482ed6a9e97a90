package serve

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"dlm"
)

// instant answers with tokens that cost nothing.
type instant int

func (n instant) Generate(_ context.Context, reqs []dlm.GenerateRequest, emit func(int, dlm.Token)) ([]dlm.Completion, error) {
	out := make([]dlm.Completion, len(reqs))
	t := dlm.Token{ID: 5, Text: " word", LogProb: -1}
	for range n {
		emit(0, t)
		out[0].Tokens = append(out[0].Tokens, t)
	}
	out[0].Text, out[0].Finish = strings.Repeat(t.Text, int(n)), "length"
	return out, nil
}

// hole takes what is written.
type hole struct{ h http.Header }

func (h *hole) Header() http.Header         { return h.h }
func (h *hole) Write(b []byte) (int, error) { return len(b), nil }
func (h *hole) WriteHeader(int)             {}
func (h *hole) Flush()                      {}

// What a streamed token costs above the engine, without the kernel's part.
func BenchmarkStreamedToken(b *testing.B) {
	n := &names{gen: instant(b.N)}
	s, err := New(Options{Router: n, Guard: &door{open: true}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	n.target = func(t *Target) { t.Codec = nil }
	r, _ := http.NewRequest("POST", "/v1/chat/completions", strings.NewReader(`{"model":"bank","stream":true,"messages":[{"role":"user","content":"hi"}]}`))
	b.ReportAllocs()
	b.ResetTimer()
	s.ServeHTTP(&hole{http.Header{}}, r)
}
