package ollama

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
	_ dlm.Embedder  = (*Engine)(nil)
)

// Options say what to run.
type Options struct {
	Binary    string // of ollama; Find finds it
	Host      string // of a server that runs already (http://127.0.0.1:11434); "" = a child of our own, with models of its own
	Modelfile string // what to create the model from; "" = Host has Model
	Model     string // that requests without an adapter ask, without Modelfile; an adapter is the name of another
	// Codec of the base, which counts prompts: an Ollama that does not know "truncate"
	// cuts those that are too long without a word. Nil where it is not known.
	Codec    dlm.Codec
	Context  int // tokens of prompt and answer; what the Modelfile says; 0 without Codec = the model's
	Parallel int // sequences at once; 0 = 4
	Threads  int // 0 = Ollama's choice
}

// Engine is a model in Ollama.
type Engine struct {
	o      Options
	url    string
	name   string
	server *child.Server // nil for one that ran already
	dir    string        // of the child's models
	http   *http.Client
}

// Find returns the path of ollama: as given, else of DLM_OLLAMA, else in PATH.
func Find(given string) (string, error) {
	for _, p := range []string{given, os.Getenv("DLM_OLLAMA"), "ollama"} {
		if p == "" {
			continue
		}
		path, err := exec.LookPath(p)
		if err == nil {
			return filepath.Abs(path)
		}
		if p != "ollama" {
			return "", fmt.Errorf("ollama: %w; expected the path of its program", err)
		}
	}
	return "", errors.New("ollama is not in PATH; name it in --ollama or DLM_OLLAMA")
}

// Open creates a model from the Modelfile, as `ollama create` does, in a server of
// its own or one that runs already. Close removes it.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if o.Parallel == 0 {
		o.Parallel = 4
	}
	e := &Engine{o: o, name: "dlm-export-" + strconv.Itoa(os.Getpid()), url: strings.TrimRight(o.Host, "/"), http: &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
	if o.Host == "" {
		if err := e.start(ctx); err != nil {
			return nil, err
		}
	}
	if o.Modelfile == "" {
		e.name = o.Model
		return e, e.ready(ctx)
	}
	if err := e.create(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// start runs `ollama serve` with a folder of its own, so that the user's models stay
// as they are.
func (e *Engine) start(ctx context.Context) (err error) {
	port, err := child.Port()
	if err != nil {
		return err
	}
	if e.dir, err = os.MkdirTemp("", "dlm-ollama-"); err != nil {
		return err
	}
	e.url = "http://127.0.0.1:" + strconv.Itoa(port)
	e.server, err = child.Start(ctx, child.Options{
		Name: "ollama", Path: e.o.Binary, Args: []string{"serve"},
		Env:   append(e.env(), "OLLAMA_MODELS="+e.dir, "OLLAMA_NUM_PARALLEL="+strconv.Itoa(e.o.Parallel), "OLLAMA_NOPRUNE=1"),
		Ready: e.ready,
	})
	if err != nil {
		return errors.Join(err, os.RemoveAll(e.dir))
	}
	return nil
}

func (e *Engine) env() []string { return []string{"OLLAMA_HOST=" + e.url} }

func (e *Engine) ready(ctx context.Context) error {
	body, err := e.do(ctx, http.MethodGet, "/api/version", nil)
	if err != nil {
		return err
	}
	return body.Close()
}

// create runs `ollama create`: what reads the Modelfile is what will read it at its
// user's.
func (e *Engine) create(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, e.o.Binary, "create", e.name, "-f", e.o.Modelfile)
	cmd.Dir = filepath.Dir(e.o.Modelfile)
	cmd.Env = append(os.Environ(), e.env()...)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	words := strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' || r == '\r' })
	last := "nothing"
	for _, w := range words {
		if w = strings.TrimSpace(w); strings.HasPrefix(w, "Error") || last == "nothing" {
			last = strings.ToValidUTF8(w, "?")
		}
	}
	return fmt.Errorf("ollama create refused the Modelfile (%w): %s", err, last)
}

// URL is where the server answers.
func (e *Engine) URL() string { return e.url }

// Name is what the server calls the model.
func (e *Engine) Name() string { return e.name }

// Close removes the model, and ends the server if it is our own.
func (e *Engine) Close() error {
	if e.server != nil {
		e.server.Close()
		return os.RemoveAll(e.dir)
	}
	if e.o.Modelfile == "" {
		return nil
	}
	body, err := e.do(context.Background(), http.MethodDelete, "/api/delete", map[string]string{"model": e.name})
	if err != nil {
		return err
	}
	return body.Close()
}

// modelOf returns what Ollama calls an adapter: a model of its own. Ollama itself
// refuses names that it does not know.
func (e *Engine) modelOf(adapter string) (string, error) {
	switch {
	case adapter == "" && e.name == "":
		return "", dlm.Faultf(dlm.FaultRequest, "model", "the upstream has no model that requests ask without naming one")
	case adapter == "":
		return e.name, nil
	case e.o.Modelfile != "":
		return "", dlm.Faultf(dlm.FaultUnknown, "model", "adapter %s: Ollama serves what its Modelfile names", adapter)
	}
	return adapter, nil
}

// do sends a request and returns the body of a good answer; else Ollama's own reason.
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
		return nil, remote.Transport(ctx, "ollama", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, remote.Refused("ollama", resp)
}
