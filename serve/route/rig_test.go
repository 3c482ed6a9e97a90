package route

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"dlm"
	"dlm/internal/testkit"
	"dlm/serve"
)

var ctx = context.Background()

const (
	ourBase   = "sha256:00000000000000000000000000000000000000000000000000000000000000aa"
	otherBase = "sha256:00000000000000000000000000000000000000000000000000000000000000bb"
)

// host remembers what it was told to hold.
type host struct {
	mu     sync.Mutex
	held   map[string]bool // pinned
	loads  int
	refuse map[string]error     // by a text in the weights file
	wait   map[string]chan bool // loads of these weights wait
}

func newHost() *host {
	return &host{held: map[string]bool{}, refuse: map[string]error{}, wait: map[string]chan bool{}}
}

func (h *host) LoadAdapter(ctx context.Context, dir string, pin bool) error {
	b, err := os.ReadFile(filepath.Join(dir, weightsFile))
	if err != nil {
		return err
	}
	h.mu.Lock()
	gate := h.wait[string(b)]
	h.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.refuse[string(b)]; err != nil {
		return err
	}
	h.loads++
	h.held[dir] = pin
	return nil
}

func (h *host) UnloadAdapter(_ context.Context, dir string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, dir)
	return nil
}

func (h *host) Adapters() []dlm.HeldAdapter { return nil }

// pinned lists the weights of the pinned adapters.
func (h *host) pinned() (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for dir, pin := range h.held {
		if b, err := os.ReadFile(filepath.Join(dir, weightsFile)); err == nil && pin {
			out = append(out, string(b))
		}
	}
	slices.Sort(out)
	return out
}

// flaky is a store that can fail.
type flaky struct {
	*testkit.Memory
	mu   sync.Mutex
	fail error
}

func (f *flaky) History(ctx context.Context, name string) ([]dlm.AliasChange, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, f.fail
	}
	return f.Memory.History(ctx, name)
}

// folder writes an adapter folder whose weights are a text.
func folder(t testing.TB, weights, base string) string {
	t.Helper()
	dir := t.TempDir()
	id, err := json.Marshal(map[string]any{"format": 1, "base_name": "tiny", "base_hash": base, "tokenizer_hash": "tok", "template_hash": "tpl", "stop_ids": []int{2}})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{identityFile: id, weightsFile: []byte(weights)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func put(t testing.TB, s dlm.Store, name, weights, base string) dlm.Digest {
	t.Helper()
	a, err := s.Put(ctx, dlm.Artifact{Kind: dlm.KindAdapter, Name: name}, folder(t, weights, base))
	if err != nil {
		t.Fatal(err)
	}
	return a.ID
}

func point(t testing.TB, s dlm.Store, alias string, id dlm.Digest, share float64) {
	t.Helper()
	if err := s.SetAlias(ctx, dlm.AliasChange{Alias: alias, Adapter: id, Share: share, Why: "promote"}); err != nil {
		t.Fatal(err)
	}
}

// rig is a catalog with its surroundings.
type rig struct {
	*Catalog
	t     testing.TB
	store *flaky
	host  *host
	o     Options
	draw  float64
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, store: &flaky{Memory: testkit.NewMemory(t)}, host: newHost(), draw: 0.5}
	r.o = Options{
		Engines: []Engine{{Name: "native", Model: "tiny", Base: ourBase, Template: "tpl", Context: 256, Host: r.host, Folders: true, System: "Be kind."}},
		Project: "desk", Store: r.store, State: filepath.Join(t.TempDir(), "loaded.json"), Draw: func() float64 { return r.draw },
	}
	return r
}

func (r *rig) start() *rig {
	r.t.Helper()
	var err error
	if r.Catalog, err = New(r.o); err != nil {
		r.t.Fatal(err)
	}
	if err := r.Warm(ctx); err != nil {
		r.t.Fatal(err)
	}
	return r
}

func (r *rig) refreshed() *rig {
	r.t.Helper()
	if err := r.Refresh(ctx); err != nil {
		r.t.Fatal(err)
	}
	return r
}

// is checks that a name leads to the adapter with these weights.
func (r *rig) is(model, weights, alias string) {
	r.t.Helper()
	got, err := r.Route(ctx, serve.Query{Model: model})
	if err != nil {
		r.t.Errorf("%s: %v", model, err)
		return
	}
	b, _ := os.ReadFile(filepath.Join(got.Ref, weightsFile))
	if string(b) != weights || got.Alias != alias || got.Model != model || got.Engine != "native" || got.Base != ourBase || got.Template != "tpl" || got.System != "Be kind." {
		r.t.Errorf("%s is %q, %+v; want %q, alias %q", model, b, got, weights, alias)
	}
}

// refuses checks that a name is refused with a text.
func (r *rig) refuses(model, text string) {
	r.t.Helper()
	got, err := r.Route(ctx, serve.Query{Model: model})
	if dlm.FaultOf(err) != dlm.FaultUnknown || !strings.Contains(fmt.Sprint(err), text) {
		r.t.Errorf("%s: %+v, %v; want a refusal with %q", model, got, err, text)
	}
}
