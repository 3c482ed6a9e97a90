package route

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"dlm"
)

// stateFormat is the version of the state file that this code writes.
const stateFormat = 1

// stateFile is what the file of names given while the server runs holds.
type stateFile struct {
	Format   int          `json:"format"`
	Adapters []stateEntry `json:"adapters"`
}

type stateEntry struct {
	Name   string     `json:"name"`
	Dir    string     `json:"dir"`
	Digest dlm.Digest `json:"digest"` // of the weights when it got the name
	Loaded time.Time  `json:"loaded"`
}

// Load gives the adapter in a folder a name. See [serve.Router].
func (c *Catalog) Load(ctx context.Context, name, dir string) error {
	c.file.Lock()
	defer c.file.Unlock()
	if err := c.free(name); err != nil {
		return err
	}
	e, err := c.named(name, dir, fromLoad)
	if err != nil {
		return refusal("lora_path", err)
	}
	v := e.versions[0]
	if _, err := v.warm(ctx, false); err != nil {
		return refusal("lora_path", err)
	}
	c.mu.Lock()
	was := c.loaded
	next := append(slices.DeleteFunc(slices.Clone(was), func(x *entry) bool { return x.name == name }), e)
	c.mu.Unlock()
	if err := c.keep(next); err != nil {
		return err
	}
	c.setLoaded(next)
	c.problem(name, nil)
	c.o.Log.Info("loaded", "name", name, "dir", v.dir, "adapter", v.digest.Short())
	return nil
}

// free refuses a name that is taken. One that was loaded and cannot be served may
// be given anew.
func (c *Catalog) free(name string) error {
	e := c.view.Load().names[name]
	if e == nil || e.source == fromLoad && e.versions[0].broken != nil {
		return nil
	}
	if e.source == fromLoad {
		return dlm.Faultf(dlm.FaultRequest, "lora_name", "the adapter %q has been loaded already, from %s; unload it first", name, e.versions[0].dir)
	}
	return dlm.Faultf(dlm.FaultRequest, "lora_name", "the name %q is taken by %s; choose another", name, e.source)
}

// refusal is err as a fault of the request, if it is no fault of another kind.
func refusal(param string, err error) error {
	if dlm.FaultOf(err) != "" || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &dlm.Fault{Kind: dlm.FaultRequest, Param: param, Err: err}
}

// Unload takes a name away that Load gave. See [serve.Router].
func (c *Catalog) Unload(ctx context.Context, name string) error {
	c.file.Lock()
	defer c.file.Unlock()
	c.mu.Lock()
	was := c.loaded
	c.mu.Unlock()
	i := slices.IndexFunc(was, func(e *entry) bool { return e.name == name })
	if i < 0 {
		if e := c.view.Load().names[name]; e != nil {
			return dlm.Faultf(dlm.FaultRequest, "lora_name", "%q is %s, which cannot be unloaded; expected a name that was loaded while the server runs", name, e.source)
		}
		return dlm.Faultf(dlm.FaultUnknown, "lora_name", "the adapter %q is not loaded", clip(name))
	}
	next := slices.Delete(slices.Clone(was), i, i+1)
	if err := c.keep(next); err != nil {
		return err
	}
	c.setLoaded(next)
	c.problem(name, nil)
	c.o.Log.Info("unloaded", "name", name)
	v := was[i].versions[0]
	if v.engine == nil || v.engine.Host == nil || c.usesFolder(v.dir) {
		return nil
	}
	return v.engine.Host.UnloadAdapter(ctx, v.dir)
}

func (c *Catalog) setLoaded(next []*entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loaded = next
	c.rebuild()
}

// usesFolder says whether another name means the adapter in a folder.
func (c *Catalog) usesFolder(dir string) bool {
	for _, e := range c.view.Load().names {
		for _, v := range e.versions {
			if v.at() == dir {
				return true
			}
		}
	}
	return false
}

// keep writes the names to the state file: to another name, synced, renamed.
func (c *Catalog) keep(loaded []*entry) (err error) {
	if c.o.State == "" {
		return nil
	}
	s := stateFile{Format: stateFormat, Adapters: []stateEntry{}}
	for _, e := range loaded {
		v := e.versions[0]
		s.Adapters = append(s.Adapters, stateEntry{e.name, v.dir, v.digest, v.created.UTC()})
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("the names of loaded adapters could not be kept in %s: %w", c.o.State, err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(c.o.State), filepath.Base(c.o.State)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), c.o.State); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(c.o.State))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// restore gives the names again that were given before the last restart. What
// cannot be served is a problem, and keeps its name until it is unloaded.
func (c *Catalog) restore(ctx context.Context) error {
	if c.o.State == "" {
		return nil
	}
	c.file.Lock()
	defer c.file.Unlock()
	b, err := os.ReadFile(c.o.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var s stateFile
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%s, the names of loaded adapters: %w; restore or delete it", c.o.State, err)
	}
	if s.Format != stateFormat {
		return fmt.Errorf("%s, the names of loaded adapters: format %d; this version reads format %d", c.o.State, s.Format, stateFormat)
	}
	var loaded []*entry
	for _, a := range s.Adapters {
		e, err := c.named(a.Name, a.Dir, fromLoad)
		if err == nil && e.versions[0].digest != a.Digest {
			err = fmt.Errorf("%s holds another adapter (%s) than the one that got the name (%s); unload it and load it again", a.Dir, e.versions[0].digest.Short(), a.Digest.Short())
		}
		if err == nil {
			_, err = e.versions[0].warm(ctx, false)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.problem(a.Name, err)
			e = &entry{name: a.Name, source: fromLoad, versions: []*version{{name: a.Name, digest: a.Digest, dir: a.Dir, broken: err}}}
		}
		e.versions[0].created = a.Loaded
		loaded = append(loaded, e)
	}
	c.setLoaded(loaded)
	return nil
}
