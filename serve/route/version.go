package route

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dlm"
	"dlm/serve"
)

// version is one adapter that can answer.
type version struct {
	name    string // of the adapter, without alias
	digest  dlm.Digest
	created time.Time
	id      identity
	engine  *Engine
	broken  error // why it cannot be served; nil = it can, as far as is known

	store dlm.Store // that holds it; nil = it lies in dir
	mu    sync.Mutex
	dir   string // "" = not laid out yet
	stamp stamp  // of dir's files when they were hashed; zero = the store keeps them
}

// folder returns where the adapter lies. A store's is laid out the first time.
func (v *version) folder(ctx context.Context) (string, error) {
	if v.broken != nil {
		return "", v.broken
	}
	if v.store == nil {
		if stampOf(v.dir) != v.stamp {
			return "", fmt.Errorf("%s has changed since it got its name; unload it and load it again", v.dir)
		}
		return v.dir, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.dir == "" {
		dir, err := v.store.Materialise(ctx, v.digest)
		if err != nil {
			return "", err
		}
		v.dir = dir
	}
	return v.dir, nil
}

// at is where the adapter lies, as far as that is known.
func (v *version) at() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.dir
}

// warm brings the adapter into its engine's memory, and returns where it lies.
func (v *version) warm(ctx context.Context, pin bool) (string, error) {
	dir, err := v.folder(ctx)
	if err == nil && v.engine.Host != nil {
		err = v.engine.Host.LoadAdapter(ctx, dir, pin)
	}
	return dir, err
}

// target is what a request gets that this version answers.
func (v *version) target(ctx context.Context, model, alias string) (serve.Target, error) {
	dir, err := v.folder(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return serve.Target{}, ctx.Err()
		}
		return serve.Target{}, unservable(model, err)
	}
	t := v.engine.target(model, v.name)
	t.Alias, t.Ref, t.Adapter, t.Base, t.Template = alias, dir, v.digest, v.id.BaseHash, v.id.TemplateHash
	return t, nil
}

// unservable refuses a name that is known and cannot be answered.
func unservable(model string, err error) error {
	return dlm.Faultf(dlm.FaultUnknown, "model", "model %q cannot be served: %w", model, err)
}

// engineFor finds the engine that answers with adapters of a base.
func engineFor(engines []*Engine, id identity) (*Engine, error) {
	var bases string
	for _, e := range engines {
		if !e.Folders {
			continue
		}
		if e.Base == id.BaseHash {
			return e, nil
		}
		bases += fmt.Sprintf(" %s (%s)", e.Model, e.Base.Short())
	}
	if bases == "" {
		return nil, fmt.Errorf("it is an adapter of base %s (%s), and no engine here takes adapter folders", id.BaseName, id.BaseHash.Short())
	}
	return nil, fmt.Errorf("it was trained on base %s (%s), and this server has%s", id.BaseName, id.BaseHash.Short(), bases)
}
