package route

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"dlm"
	"dlm/stage/registry"
)

const (
	// warmTimeout is how long one adapter may take to come into memory.
	warmTimeout = 2 * time.Minute
	// retryFailed is how long an adapter that was refused is left alone: its files do
	// not change, but an engine may be back. Where room was missing it is tried again
	// at the next poll.
	retryFailed = 30 * time.Second
	// adaptersEvery is how many polls pass without a moved alias until the list of
	// adapters is read again.
	adaptersEvery = 10
)

// failure is an adapter that could not be brought in.
type failure struct {
	until time.Time // when it is tried again
	err   error
}

// seen is what the store held when it was read last.
type seen struct {
	changes  int // of aliases
	newest   dlm.AliasChange
	polls    int // since adapters were read
	adapters []dlm.Artifact
}

// refresh reads the store and serves what moved in it. all reads the list of
// adapters even if no alias moved. Callers hold c.refreshing.
func (c *Catalog) refresh(ctx context.Context, all bool) error {
	if c.o.Store == nil {
		return nil
	}
	names, err := c.read(ctx, all)
	if ctx.Err() == nil {
		c.problem("store", err)
	}
	if err != nil || names == nil {
		return err
	}
	list := names.List()
	for _, name := range list {
		if err := c.refreshName(ctx, names, name); err != nil {
			return err
		}
	}
	c.mu.Lock()
	for name := range c.stored {
		if !slices.Contains(list, name) {
			delete(c.stored, name)
		}
	}
	c.rebuild()
	c.mu.Unlock()
	c.unpin(ctx)
	return nil
}

// Refresh reads the store at once, and tries again what was refused. See
// [serve.Operator].
func (c *Catalog) Refresh(ctx context.Context) error {
	c.refreshing.Lock()
	defer c.refreshing.Unlock()
	clear(c.failed)
	return c.refresh(ctx, true)
}

// lookAgain reads the store once more for a name that is not known, at most once
// in a poll's time, and not while it is being read.
func (c *Catalog) lookAgain(ctx context.Context) {
	now, last := time.Now().UnixNano(), c.looked.Load()
	if c.o.Store == nil || now-last < int64(c.o.Poll) || !c.looked.CompareAndSwap(last, now) || !c.refreshing.TryLock() {
		return
	}
	defer c.refreshing.Unlock()
	// The caller may leave, what is brought in stays. Why the store could not be
	// read stands among the problems.
	_ = c.refresh(context.WithoutCancel(ctx), true)
}

// read returns the store's names; nil when nothing moved since it was read last.
func (c *Catalog) read(ctx context.Context, all bool) (*registry.Names, error) {
	history, err := c.o.Store.History(ctx, "")
	if err != nil {
		return nil, err
	}
	now := seen{changes: len(history), polls: c.last.polls + 1, adapters: c.last.adapters}
	if len(history) > 0 {
		now.newest = history[0]
	}
	moved := now.changes != c.last.changes || now.newest != c.last.newest
	if !all && !moved && now.polls < adaptersEvery && !c.dueAgain() {
		c.last.polls = now.polls
		return nil, nil
	}
	if now.adapters, err = c.o.Store.Artifacts(ctx, dlm.KindAdapter); err != nil {
		return nil, err
	}
	now.polls = 0
	c.last = now
	return registry.NewNames(c.o.Project, now.adapters, history), nil
}

// dueAgain says whether an adapter that was refused is to be tried again.
func (c *Catalog) dueAgain() bool {
	for _, f := range c.failed {
		if !time.Now().Before(f.until) {
			return true
		}
	}
	return false
}

// refreshName brings one name up to date: each alias that moved, once its adapter
// is in memory. Only ctx's end is an error.
func (c *Catalog) refreshName(ctx context.Context, names *registry.Names, name string) error {
	c.mu.Lock()
	was := c.stored[name]
	c.mu.Unlock()
	next := &entry{name: name, source: fromStore, aliases: map[string]pointer{}}
	for _, a := range names.Versions(name) {
		next.versions = append(next.versions, c.version(ctx, a))
	}
	if was == nil {
		was = &entry{}
	}
	// What an alias means until its adapter is here.
	wanted := names.Aliases(name)
	for alias := range wanted {
		if p, ok := was.aliases[alias]; ok {
			next.aliases[alias] = p
		}
	}
	for _, alias := range slices.Sorted(maps.Keys(wanted)) {
		change := wanted[alias]
		a, _ := names.Adapter(change.Adapter)
		v, about := c.version(ctx, a), name+"@"+alias
		now, had := next.aliases[alias]
		if had && now.to == v && now.broken == nil {
			next.aliases[alias] = pointer{to: v, share: change.Share}
			c.problem(about, nil)
			continue
		}
		began := time.Now()
		err := c.bring(ctx, v)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case err == nil:
			next.aliases[alias] = pointer{to: v, share: change.Share}
			c.problem(about, nil)
			c.o.Log.Info("alias", "alias", about, "adapter", v.digest.Short(), "share", change.Share, "loaded_in", time.Since(began).Round(time.Millisecond).String())
		case had && now.broken == nil:
			c.problem(about, fmt.Errorf("it moved to %s, which cannot be served, and still means %s: %w", v.digest.Short(), now.to.digest.Short(), err))
		default:
			next.aliases[alias] = pointer{to: v, share: change.Share, broken: err}
			c.problem(about, err)
		}
		c.serveEntry(next)
	}
	for alias := range was.aliases {
		if _, ok := wanted[alias]; !ok {
			c.problem(name+"@"+alias, nil)
		}
	}
	c.serveEntry(next)
	return nil
}

// serveEntry puts a copy of what a name means into the view.
func (c *Catalog) serveEntry(e *entry) {
	still := *e
	still.aliases = maps.Clone(e.aliases)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stored[e.name] = &still
	c.rebuild()
}

// version is the store's adapter, with its identity read once.
func (c *Catalog) version(ctx context.Context, a dlm.Artifact) *version {
	if v := c.known[a.ID]; v != nil {
		return v
	}
	v := &version{name: a.Name, digest: a.ID, created: a.Created, store: c.o.Store}
	i := slices.IndexFunc(a.Files, func(f dlm.File) bool { return f.Path == identityFile })
	if i < 0 {
		v.broken = fmt.Errorf("adapter %s holds no %s: it is bound to no base; dlm adapters import binds it", a.ID.Short(), identityFile)
	} else {
		r, err := c.o.Store.Open(ctx, a.Files[i].Digest)
		if err != nil {
			v.broken = err
			return v // another time it may be read
		}
		defer r.Close()
		if v.id, v.broken = parseIdentity(r); v.broken == nil {
			v.engine, v.broken = engineFor(c.engines, v.id)
		}
	}
	c.known[a.ID] = v
	return v
}

// bring loads and pins an adapter, unless it was refused a moment ago.
func (c *Catalog) bring(ctx context.Context, v *version) error {
	if f, ok := c.failed[v.digest]; ok && time.Now().Before(f.until) {
		return f.err
	}
	inTime, cancel := context.WithTimeout(ctx, warmTimeout)
	defer cancel()
	dir, err := v.warm(inTime, true)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		again := retryFailed
		if dlm.FaultOf(err) == dlm.FaultBusy {
			again = c.o.Poll
		}
		c.failed[v.digest] = failure{time.Now().Add(again), err}
		return err
	}
	delete(c.failed, v.digest)
	c.pinned[dir] = v.engine
	return nil
}

// unpin lets those adapters go that no alias points at any more. Requests under
// way keep them.
func (c *Catalog) unpin(ctx context.Context) {
	wanted := map[string]bool{}
	c.mu.Lock()
	for _, e := range c.stored {
		for _, p := range e.aliases {
			wanted[p.to.at()] = true
		}
	}
	c.mu.Unlock()
	for dir, engine := range c.pinned {
		if wanted[dir] {
			continue
		}
		delete(c.pinned, dir)
		if engine.Host != nil {
			if err := engine.Host.LoadAdapter(ctx, dir, false); err != nil {
				c.o.Log.Warn("unpin", "dir", dir, "err", err)
			}
		}
	}
}
