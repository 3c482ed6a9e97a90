package llamacpp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"dlm"
	"dlm/internal/child"
)

var (
	_ dlm.Generator = (*Engine)(nil)
	_ dlm.Scorer    = (*Engine)(nil)
)

// Options say what to run.
type Options struct {
	Server   string    // path of llama-server; Find finds it
	Model    string    // GGUF file
	LoRA     string    // GGUF LoRA file that is always applied; "" = none
	Codec    dlm.Codec // of the base
	Context  int       // tokens of a sequence; 0 = the base's, at most 4096
	Parallel int       // sequences at once; 0 = 4
	Threads  int       // 0 = llama.cpp's choice
	Args     []string  // further arguments of llama-server
}

// Engine is a llama-server that was started.
type Engine struct {
	o      Options
	url    string
	server *child.Server
	http   *http.Client
}

// Find returns the path of llama-server: as given, else of DLM_LLAMA_SERVER, else
// in PATH.
func Find(given string) (string, error) {
	for _, p := range []string{given, os.Getenv("DLM_LLAMA_SERVER"), "llama-server"} {
		if p == "" {
			continue
		}
		path, err := exec.LookPath(p)
		if err == nil {
			return filepath.Abs(path)
		}
		if p != "llama-server" {
			return "", fmt.Errorf("llama-server: %w; expected the path of llama.cpp's server", err)
		}
	}
	return "", errors.New("llama.cpp's llama-server is not in PATH; name it in --llama-server or DLM_LLAMA_SERVER")
}

// Open starts llama-server with the model and waits until it answers. Close ends it.
func Open(ctx context.Context, o Options) (*Engine, error) {
	for _, f := range []string{o.Model, o.LoRA} {
		if f == "" {
			continue
		}
		if _, err := os.Stat(f); err != nil {
			return nil, fmt.Errorf("llama.cpp: %w", err)
		}
	}
	if o.Context == 0 {
		o.Context = min(o.Codec.Context(), 4096)
	}
	if o.Parallel == 0 {
		o.Parallel = 4
	}
	port, err := child.Port()
	if err != nil {
		return nil, err
	}
	e := &Engine{o: o, url: "http://127.0.0.1:" + strconv.Itoa(port), http: &http.Client{
		// llama-server closes idle connections when it likes, and a question is not asked twice.
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
	args := []string{"--model", o.Model, "--host", "127.0.0.1", "--port", strconv.Itoa(port),
		"--parallel", strconv.Itoa(o.Parallel), "--ctx-size", strconv.Itoa(o.Parallel * o.Context)}
	if o.LoRA != "" {
		args = append(args, "--lora", o.LoRA)
	}
	if o.Threads > 0 {
		args = append(args, "--threads", strconv.Itoa(o.Threads))
	}
	e.server, err = child.Start(ctx, child.Options{Name: "llama-server", Path: o.Server, Args: append(args, o.Args...), Ready: e.ready})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Close ends the server.
func (e *Engine) Close() error {
	e.server.Close()
	return nil
}

// ready is nil once the model is loaded.
func (e *Engine) ready(ctx context.Context) error {
	body, err := e.do(ctx, http.MethodGet, "/health", nil)
	if err != nil {
		return err
	}
	return body.Close()
}

// do sends a request and returns the body of a good answer; else the server's own
// reason.
func (e *Engine) do(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, e.url+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("llama-server: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what came is what can be told
	return nil, fmt.Errorf("llama-server answered %s: %s", resp.Status, reason(raw))
}

// reason reads llama-server's error object.
func reason(raw []byte) string {
	var v struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(raw, &v) == nil && v.Error.Message != "" {
		return v.Error.Message
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(raw), "?"))
}
