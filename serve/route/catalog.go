package route

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"dlm"
	"dlm/serve"
)

// Options say where names come from.
type Options struct {
	Engines []Engine
	Project string    // its name; aliases of the whole project count for it
	Store   dlm.Store // of adapters and aliases; nil = none
	Static  []Named   // adapters named at the start
	State   string    // file that keeps the names given while it runs; "" = they end with the process
	Poll    time.Duration
	Log     *slog.Logger   // nil = silent
	Draw    func() float64 // from 0 up to 1, for canaries; nil = random
}

// Named is an adapter folder with a name.
type Named struct {
	Name string
	Dir  string
}

// Catalog is the gateway's Router. Make one with [New], bring its adapters in
// with Warm, and keep it fresh with Run.
type Catalog struct {
	o       Options
	engines []*Engine
	view    atomic.Pointer[view]
	warm    atomic.Bool // Warm has come to its end
	looked  atomic.Int64

	mu       sync.Mutex // of what follows; never held while an adapter is read
	fixed    []*entry   // bases and adapters named at the start
	loaded   []*entry
	stored   map[string]*entry
	upstream []*entry
	problems map[string]string // by what they are about
	hidden   []string          // problems of names that clash

	file       sync.Mutex // of the state file and its adapters
	refreshing sync.Mutex // of what follows
	known      map[dlm.Digest]*version
	pinned     map[string]*Engine // folders that this catalog has pinned
	failed     map[dlm.Digest]failure
	last       seen
}

var (
	_ serve.Router   = (*Catalog)(nil)
	_ serve.Operator = (*Catalog)(nil)
)

// New reads the adapters that are named at the start. It is an error if one of
// them is for no base here, or if two names clash.
func New(o Options) (*Catalog, error) {
	o.Poll = cmp.Or(o.Poll, time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Draw == nil {
		o.Draw = rand.Float64
	}
	c := &Catalog{o: o, stored: map[string]*entry{}, problems: map[string]string{},
		known: map[dlm.Digest]*version{}, pinned: map[string]*Engine{}, failed: map[dlm.Digest]failure{}}
	for i := range o.Engines {
		e := &o.Engines[i]
		c.engines = append(c.engines, e)
		if e.Model != "" {
			c.fixed = append(c.fixed, &entry{name: e.Model, source: fromBase, engine: e})
		}
		for j := range e.Models {
			c.upstream = append(c.upstream, &entry{name: e.Models[j].Name, source: fromUpstream, engine: e, model: &e.Models[j]})
		}
	}
	for _, n := range o.Static {
		e, err := c.named(n.Name, n.Dir, fromFlag)
		if err != nil {
			return nil, fmt.Errorf("adapter %s=%s: %w", n.Name, n.Dir, err)
		}
		c.fixed = append(c.fixed, e)
	}
	if _, hidden := newView(slices.Concat(c.fixed, c.upstream)); len(hidden) > 0 {
		return nil, fmt.Errorf("the name %q is given twice, the second time to %s; give it another name", hidden[0].name, hidden[0].source)
	}
	c.rebuild()
	return c, nil
}

// named is the entry of an adapter in a folder.
func (c *Catalog) named(name, dir string, from source) (*entry, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	before := stampOf(abs)
	id, digest, err := readFolder(abs)
	if err != nil {
		return nil, err
	}
	engine, err := engineFor(c.engines, id)
	if err != nil {
		return nil, err
	}
	v := &version{name: name, digest: digest, created: time.Now(), id: id, engine: engine, dir: abs, stamp: before}
	return &entry{name: name, source: from, versions: []*version{v}}, nil
}

// checkName refuses names that cannot be told from aliases, or cannot be written down.
func checkName(name string) error {
	if name == "" || len(name) > 200 || strings.ContainsFunc(name, func(r rune) bool { return r == '@' || unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return dlm.Faultf(dlm.FaultRequest, "lora_name", "name %q: expected a text without spaces and without @, such as bank-support", clip(name))
	}
	return nil
}

// rebuild makes the view anew. The caller may hold c.mu, or be alone.
func (c *Catalog) rebuild() {
	var stored []*entry
	for _, name := range slices.Sorted(maps.Keys(c.stored)) {
		stored = append(stored, c.stored[name])
	}
	v, hidden := newView(slices.Concat(c.fixed, c.loaded, stored, c.upstream))
	c.hidden = nil
	for _, e := range hidden {
		c.hidden = append(c.hidden, fmt.Sprintf("%s: %s is hidden by %s of the same name", e.name, e.source, v.names[e.name].source))
	}
	c.view.Store(v)
}

// Warm brings in what requests may ask for at once: adapters named at the start
// or loaded before the last restart, and those that aliases point at. It fails if
// an adapter named at the start is refused, or the store cannot be read; all else
// that is amiss stands among the problems.
func (c *Catalog) Warm(ctx context.Context) error {
	for _, e := range c.fixed {
		for _, v := range e.versions {
			if _, err := v.warm(ctx, false); err != nil {
				return fmt.Errorf("adapter %s: %w", e.name, err)
			}
		}
	}
	if err := c.restore(ctx); err != nil {
		return err
	}
	if err := c.Refresh(ctx); err != nil {
		return err
	}
	c.warm.Store(true)
	return nil
}

// Run reads the store about once a second until ctx ends.
func (c *Catalog) Run(ctx context.Context) {
	tick := time.NewTicker(c.o.Poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.refreshing.Lock()
			_ = c.refresh(ctx, false) // stands among the problems
			c.refreshing.Unlock()
		}
	}
}

// Ready says why requests cannot be answered yet. See [serve.Router].
func (c *Catalog) Ready() error {
	if !c.warm.Load() {
		return errors.New("adapters are being loaded")
	}
	for _, e := range c.engines {
		if p, ok := e.Generator.(*Pool); !ok || p.usable() {
			return nil
		}
	}
	if len(c.engines) == 0 {
		return nil
	}
	return errors.New("no upstream answers")
}

// Problems lists what is amiss. See [serve.Operator].
func (c *Catalog) Problems() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for about, text := range c.problems {
		out = append(out, about+": "+text)
	}
	out = append(out, c.hidden...)
	slices.Sort(out)
	return out
}

// problem records what is amiss, or with a nil error that it no longer is. What is
// new is logged.
func (c *Catalog) problem(about string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, had := c.problems[about]
	switch {
	case err == nil && had:
		delete(c.problems, about)
		c.o.Log.Info("resolved", "about", about)
	case err != nil && was != err.Error():
		c.problems[about] = err.Error()
		c.o.Log.Error("cannot be served", "about", about, "err", err)
	}
}

// Upstreams is how each replica is doing. See [serve.Operator].
func (c *Catalog) Upstreams() []serve.UpstreamStats {
	var out []serve.UpstreamStats
	var seen []*Pool
	for _, e := range c.engines {
		if p, ok := e.Generator.(*Pool); ok && !slices.Contains(seen, p) {
			seen = append(seen, p)
			out = append(out, p.Upstreams()...)
		}
	}
	return out
}
