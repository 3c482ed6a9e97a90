package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dlm"
	"dlm/serve"
	"dlm/serve/tenant"
)

// held answers when it is let go, or ends with its request.
type held struct{ free, ended chan struct{} }

func (h *held) Generate(ctx context.Context, reqs []dlm.GenerateRequest, _ func(int, dlm.Token)) ([]dlm.Completion, error) {
	select {
	case <-h.free:
		return make([]dlm.Completion, len(reqs)), nil
	case <-ctx.Done():
		close(h.ended)
		return nil, ctx.Err()
	}
}

func (h *held) Route(context.Context, serve.Query) (serve.Target, error) {
	return serve.Target{Name: "held", Generator: h}, nil
}
func (h *held) Models(context.Context) ([]serve.Model, error) { return nil, nil }
func (h *held) Load(context.Context, string, string) error    { return nil }
func (h *held) Unload(context.Context, string) error          { return nil }
func (h *held) Ready() error                                  { return nil }

// TestDrain: at the end a request under way is finished, or cut off when its time
// is over; whoever comes meanwhile is told to ask elsewhere.
func TestDrain(t *testing.T) {
	for _, finishes := range []bool{true, false} {
		h := &held{make(chan struct{}), make(chan struct{})}
		guard, err := tenant.NewGuard(tenant.Options{File: tenant.File{Path: filepath.Join(t.TempDir(), "keys.json")}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := serve.New(serve.Options{Router: h, Guard: guard})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f := &front{}
		server := serve.HTTPServer(f)
		go server.Serve(l)
		url := "http://" + l.Addr().String()
		if code, body := get(t, url+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "being loaded") {
			t.Errorf("before the base is loaded: %d %s", code, body)
		}
		f.open(s)

		answered := make(chan int, 1)
		go func() {
			resp, err := http.Post(url+"/v1/completions", "application/json", strings.NewReader(`{"model":"held","prompt":"a","max_tokens":4}`))
			if err != nil {
				answered <- 0
				return
			}
			resp.Body.Close()
			answered <- resp.StatusCode
		}()
		for s.Running() == 0 {
			time.Sleep(time.Millisecond)
		}
		var notes bytes.Buffer
		a := &app{stderr: &notes, flags: &globals{}}
		patience := time.Minute
		if !finishes {
			patience = 50 * time.Millisecond
		}
		drained := make(chan error, 1)
		go func() { drained <- a.drain(s, server, patience) }()
		if finishes {
			for code := 0; code != http.StatusServiceUnavailable; code, _ = get(t, url+"/readyz") {
				time.Sleep(time.Millisecond)
			}
			close(h.free)
		}
		err = <-drained
		if finishes != (err == nil) {
			t.Errorf("finishes: %v, and drain says %v", finishes, err)
		}
		if code := <-answered; finishes && code != http.StatusOK {
			t.Errorf("a request under way got %d", code)
		}
		if !finishes {
			<-h.ended // its context ended: an engine frees its memory
		}
		if _, err := http.Get(url + "/healthz"); err == nil {
			t.Error("it still listens")
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
