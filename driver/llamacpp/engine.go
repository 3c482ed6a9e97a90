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
	"dlm/internal/remote"
)

var (
	_ dlm.Generator = (*Engine)(nil)
	_ dlm.Scorer    = (*Engine)(nil)
)

// Options say what to run.
type Options struct {
	URL      string    // of a server that runs already (http://127.0.0.1:8080); "" = a child of our own
	Server   string    // path of llama-server; Find finds it
	Model    string    // GGUF file
	LoRA     string    // GGUF LoRA file that is always applied; "" = none
	LoRAs    []string  // GGUF LoRA files that requests name, by their name without folder and .gguf
	Codec    dlm.Codec // of the base
	Context  int       // tokens of a sequence; 0 = the base's, at most 4096
	Parallel int       // sequences at once; 0 = 4
	Threads  int       // 0 = llama.cpp's choice
	Args     []string  // further arguments of llama-server
}

// Engine is a llama-server that was started.
type Engine struct {
	o        Options
	url      string
	server   *child.Server // nil for one that ran already
	http     *http.Client
	adapters map[string]int // ids of the server's, by name
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

// Open starts llama-server with the model, or takes the one at Options.URL, and waits
// until it answers. Close ends a child.
func Open(ctx context.Context, o Options) (*Engine, error) {
	for _, f := range append([]string{o.Model, o.LoRA}, o.LoRAs...) {
		if f == "" || o.URL != "" {
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
	e := &Engine{o: o, url: strings.TrimSuffix(strings.TrimRight(o.URL, "/"), "/v1"), adapters: map[string]int{}, http: &http.Client{
		// llama-server closes idle connections when it likes, and a question is not asked twice.
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
	begin := e.start
	if o.URL != "" {
		begin = e.ready
	}
	err := begin(ctx)
	if err == nil && (o.URL != "" || len(o.LoRAs) > 0) {
		err = e.list(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// start runs llama-server.
func (e *Engine) start(ctx context.Context) error {
	port, err := child.Port()
	if err != nil {
		return err
	}
	o := &e.o
	e.url = "http://127.0.0.1:" + strconv.Itoa(port)
	args := []string{"--model", o.Model, "--host", "127.0.0.1", "--port", strconv.Itoa(port),
		"--parallel", strconv.Itoa(o.Parallel), "--ctx-size", strconv.Itoa(o.Parallel * o.Context)}
	if o.LoRA != "" {
		args = append(args, "--lora", o.LoRA)
	}
	for _, f := range o.LoRAs {
		args = append(args, "--lora", f)
	}
	if len(o.LoRAs) > 0 {
		args = append(args, "--lora-init-without-apply")
	}
	if o.Threads > 0 {
		args = append(args, "--threads", strconv.Itoa(o.Threads))
	}
	e.server, err = child.Start(ctx, child.Options{Name: "llama-server", Path: o.Server, Args: append(args, o.Args...), Ready: e.ready})
	return err
}

// list asks which adapters the server holds.
func (e *Engine) list(ctx context.Context) error {
	body, err := e.do(ctx, http.MethodGet, "/lora-adapters", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	var held []struct {
		ID   int    `json:"id"`
		Path string `json:"path"`
	}
	if err := json.NewDecoder(body).Decode(&held); err != nil {
		return fmt.Errorf("llama-server's list of adapters: %w", err)
	}
	for _, a := range held {
		e.adapters[strings.TrimSuffix(filepath.Base(a.Path), ".gguf")] = a.ID
	}
	return nil
}

// lora says how far each of the server's adapters takes part in an answer: the one
// that is named wholly, the others not at all.
func (e *Engine) lora(name string) ([]scale, error) {
	if _, ok := e.adapters[name]; name != "" && !ok {
		return nil, dlm.Faultf(dlm.FaultUnknown, "model", "adapter %s: llama.cpp serves what it was started with, and that is not among it", name)
	}
	var out []scale
	for n, id := range e.adapters {
		s := scale{ID: id}
		if n == name {
			s.Scale = 1
		}
		out = append(out, s)
	}
	return out, nil
}

// URL is where the server answers.
func (e *Engine) URL() string { return e.url }

// Close ends a child.
func (e *Engine) Close() error {
	if e.server != nil {
		e.server.Close()
	}
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
		return nil, remote.Transport(ctx, "llama-server", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, remote.Refused("llama-server", resp)
}
