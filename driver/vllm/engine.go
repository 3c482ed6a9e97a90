package vllm

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"dlm"
	"dlm/internal/remote"
)

var (
	_ dlm.Generator = (*Engine)(nil)
	_ dlm.Scorer    = (*Engine)(nil)
)

// Engine is a vLLM with one base. Its methods may be called from several
// goroutines.
type Engine struct {
	o       Options
	http    *http.Client
	version string

	url   string
	key   string
	model string // what the server calls the base
	child *child // nil: somebody else's vLLM

	turn sync.RWMutex // read-held by each generation, held by a scoring: see logProbs
	cut  atomic.Bool  // a generation was cancelled and may still be ending there

	mu       sync.Mutex         // held while adapters are loaded
	adapters map[string]*served // by absolute path
}

// Open starts vLLM, or connects to the one at Options.URL, and waits until it
// answers. Close must be called.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	e := &Engine{o: o, http: newClient(o.Parallel), url: o.URL, key: o.APIKey, adapters: map[string]*served{}}
	err := error(nil)
	if o.URL == "" {
		err = e.start(ctx)
	}
	if err == nil {
		err = e.connect(ctx)
	}
	if err == nil {
		err = e.checkBase(ctx)
	}
	if err != nil {
		e.stop()
		return nil, e.failed(ctx, err)
	}
	return e, nil
}

// connect asks a server for its version and the name of its base.
func (e *Engine) connect(ctx context.Context) error {
	var v struct{ Version string }
	if err := e.get(ctx, "/version", &v); err != nil {
		return fmt.Errorf("%s does not answer as a vLLM: %w", e.url, err)
	}
	e.version = v.Version
	var list struct {
		Data []struct {
			ID     string
			Parent *string
			MaxLen int `json:"max_model_len"`
		}
	}
	if err := e.get(ctx, "/v1/models", &list); err != nil {
		return err
	}
	for _, m := range list.Data {
		if m.Parent == nil { // adapters have one
			e.model = m.ID
			if m.MaxLen > 0 {
				e.o.MaxLen = m.MaxLen
			}
			return nil
		}
	}
	return fmt.Errorf("the vLLM at %s lists no base model", e.url)
}

// Version is vLLM's own.
func (e *Engine) Version() string { return e.version }

// Address is where the server answers, the key that it wants, and what it calls
// the base.
func (e *Engine) Address() (url, key, base string) { return e.url, e.key, e.model }

// PID is the process of a child, the head of its group; 0 for a vLLM that ran
// already.
func (e *Engine) PID() int {
	if e.child == nil {
		return 0
	}
	return e.child.cmd.Process.Pid
}

// Log is the file that a child writes to; empty for a vLLM that ran already.
func (e *Engine) Log() string {
	if e.child == nil {
		return ""
	}
	return e.child.log
}

// Close ends the child; a vLLM that ran already gets its adapters unloaded.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.child == nil {
		for path := range e.adapters {
			_ = e.unload(context.Background(), path) // it may be gone
		}
	}
	e.stop()
	return nil
}

func (e *Engine) stop() {
	if e.child != nil {
		e.child.stop()
	}
	e.http.CloseIdleConnections()
}

// context is how many tokens a sequence may have.
func (e *Engine) context() int {
	c := e.o.Codec.Context()
	if e.o.MaxLen > 0 && e.o.MaxLen < c {
		return e.o.MaxLen
	}
	return c
}

// failed gives an error of a request the reason behind it, a child that died, and
// a kind: what has none is the server's fault.
func (e *Engine) failed(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case e.child != nil && (isConnection(err) || isEngineDead(err)) && e.child.endsSoon():
		err = e.child.lastWords()
	case e.child != nil && isEngineDead(err):
		err = fmt.Errorf("%w; the log says: %s (all of it: %s)", err, lastWords(e.child.log), e.child.log)
	}
	return remote.Transport(ctx, "vLLM", err)
}
