package child

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain is the child too: the test binary run again.
func TestMain(m *testing.M) {
	switch os.Getenv("CHILD") {
	case "serve":
		fmt.Fprintln(os.Stderr, "serving")
		_ = http.ListenAndServe(os.Args[1], http.NotFoundHandler())
		os.Exit(1)
	case "fail":
		fmt.Fprintln(os.Stderr, "cannot find the weights")
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, kind string) (*Server, string, error) {
	t.Helper()
	port, err := Port()
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := Start(ctx, Options{Name: "the program", Path: os.Args[0], Args: []string{addr}, Env: []string{"CHILD=" + kind}, Ready: func(ctx context.Context) error {
		r, err := http.Get("http://" + addr)
		if err == nil {
			r.Body.Close()
		}
		return err
	}})
	return s, addr, err
}

func TestServes(t *testing.T) {
	s, addr, err := start(t, "serve")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ended(); err != nil {
		t.Error(err)
	}
	s.Close()
	s.Close()
	if _, err := http.Get("http://" + addr); err == nil {
		t.Error("it answers after Close")
	}
	if err := s.Because(errors.New("connection refused")); err == nil || !strings.Contains(err.Error(), "the program ended") {
		t.Error(err)
	}
}

func TestLastWords(t *testing.T) {
	_, _, err := start(t, "fail")
	if err == nil || !strings.Contains(err.Error(), "cannot find the weights") || !strings.Contains(err.Error(), "exit status 3") {
		t.Error(err)
	}
	_, err = Start(context.Background(), Options{Name: "the program", Path: "/no/such/program"})
	if err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Error(err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Start(ctx, Options{Name: "x", Path: os.Args[0], Args: []string{"127.0.0.1:0"}, Env: []string{"CHILD=serve"}, Ready: func(context.Context) error {
		cancel()
		return errors.New("not yet")
	}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
