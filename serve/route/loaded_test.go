package route

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dlm"
	"dlm/serve"
)

func (r *rig) fault(what string, err error, kind dlm.FaultKind, text string) {
	r.t.Helper()
	if dlm.FaultOf(err) != kind || !strings.Contains(fmt.Sprint(err), text) {
		r.t.Errorf("%s: %v (%s); want %s with %q", what, err, dlm.FaultOf(err), kind, text)
	}
}

func TestLoadAndUnload(t *testing.T) {
	r := newRig(t)
	put(t, r.store, "bank", "stored", ourBase)
	r.start()
	one, two := folder(t, "one", ourBase), folder(t, "two", ourBase)
	if err := r.Load(ctx, "mine", one); err != nil {
		t.Fatal(err)
	}
	r.is("mine", "one", "")
	r.fault("again", r.Load(ctx, "mine", two), dlm.FaultRequest, "loaded already")
	r.fault("the base's name", r.Load(ctx, "tiny", two), dlm.FaultRequest, "taken by a base")
	r.fault("a stored name", r.Load(ctx, "bank", two), dlm.FaultRequest, "taken by an adapter of the project's store")
	r.fault("an alias", r.Load(ctx, "x@prod", two), dlm.FaultRequest, "without @")
	r.fault("no folder", r.Load(ctx, "x", filepath.Join(one, "none")), dlm.FaultUnknown, "is not there")
	r.fault("another base", r.Load(ctx, "x", folder(t, "one", otherBase)), dlm.FaultRequest, "trained on base")
	r.host.refuse["sick"] = errors.New("corrupt")
	r.fault("corrupt", r.Load(ctx, "x", folder(t, "sick", ourBase)), dlm.FaultRequest, "corrupt")
	r.refuses("x", "not served here")
	r.fault("unload a stored one", r.Unload(ctx, "bank"), dlm.FaultRequest, "cannot be unloaded")
	r.fault("unload nothing", r.Unload(ctx, "x"), dlm.FaultUnknown, "not loaded")

	// A folder that is written anew under its name is not taken for what it was.
	later := time.Now().Add(time.Hour)
	if err := os.WriteFile(filepath.Join(one, weightsFile), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(one, weightsFile), later, later); err != nil {
		t.Fatal(err)
	}
	r.refuses("mine", "has changed")
	if err := r.Unload(ctx, "mine"); err != nil {
		t.Fatal(err)
	}
	r.refuses("mine", "not served here")
	if _, held := r.host.held[one]; held {
		t.Error("still in memory")
	}
	if err := r.Load(ctx, "mine", one); err != nil {
		t.Fatal(err)
	}
	r.is("mine", "other", "")
	// Two names of one folder: it stays while one is left.
	if err := errors.Join(r.Load(ctx, "too", one), r.Unload(ctx, "mine")); err != nil {
		t.Fatal(err)
	}
	if _, held := r.host.held[one]; !held {
		t.Error("unloaded though another name means it")
	}
}

func TestLoadedNamesSurviveARestart(t *testing.T) {
	r := newRig(t).start()
	one, gone, changed := folder(t, "one", ourBase), folder(t, "two", ourBase), folder(t, "three", ourBase)
	if err := errors.Join(r.Load(ctx, "mine", one), r.Load(ctx, "gone", gone), r.Load(ctx, "changed", changed), r.Load(ctx, "ended", one), r.Unload(ctx, "ended")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(gone), os.WriteFile(filepath.Join(changed, weightsFile), []byte("else"), 0o644)); err != nil {
		t.Fatal(err)
	}
	r.start() // another process
	r.is("mine", "one", "")
	r.refuses("gone", "is not there")
	r.refuses("changed", "holds another adapter")
	r.refuses("ended", "not served here")
	if p := r.Problems(); len(p) != 2 || !strings.HasPrefix(p[0], "changed: ") || !strings.HasPrefix(p[1], "gone: ") {
		t.Errorf("problems %q", p)
	}
	if err := r.Ready(); err != nil {
		t.Error(err)
	}
	// A broken one may be given anew, or taken away.
	if err := errors.Join(r.Load(ctx, "changed", changed), r.Unload(ctx, "gone")); err != nil {
		t.Fatal(err)
	}
	if p := r.Problems(); len(p) != 0 {
		t.Errorf("problems %q", p)
	}
	r.start()
	r.is("changed", "else", "")
	r.refuses("gone", "not served here")

	for _, text := range []string{"{", `{"format": 2}`} {
		if err := os.WriteFile(r.o.State, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := New(r.o)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Warm(ctx); err == nil || !strings.Contains(err.Error(), r.o.State) {
			t.Errorf("state file %q: %v", text, err)
		}
	}
}

// What cannot be kept is not served either: after a restart it would be gone.
func TestLoadThatCannotBeKept(t *testing.T) {
	r := newRig(t)
	r.o.State = filepath.Join(t.TempDir(), "none", "loaded.json")
	r.start()
	if err := r.Load(ctx, "mine", folder(t, "one", ourBase)); err == nil || !strings.Contains(err.Error(), "could not be kept") {
		t.Error(err)
	}
	r.refuses("mine", "not served here")
}

// Names come and go while requests are routed; each gets what its name means, or
// a refusal.
func TestConcurrently(t *testing.T) {
	r := newRig(t)
	one, two := put(t, r.store, "bank", "one", ourBase), put(t, r.store, "bank", "two", ourBase)
	point(t, r.store, "bank@prod", one, 0)
	r.start()
	dirs := []string{folder(t, "x0", ourBase), folder(t, "x1", ourBase)}
	stop := make(chan bool)
	var routing, moving sync.WaitGroup
	for range 4 {
		routing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := r.Route(ctx, serve.Query{Model: "bank"}); err != nil || got.Adapter != one && got.Adapter != two {
					t.Errorf("%+v, %v", got, err)
				}
				got, err := r.Route(ctx, serve.Query{Model: "x0"})
				if err == nil && got.Ref != dirs[0] || err != nil && dlm.FaultOf(err) != dlm.FaultUnknown {
					t.Errorf("%+v, %v", got, err)
				}
				_, _ = r.Models(ctx)
				r.Problems()
			}
		})
	}
	for i := range 2 {
		moving.Go(func() {
			for range 20 {
				name := fmt.Sprint("x", i)
				if err := errors.Join(r.Load(ctx, name, dirs[i]), r.Unload(ctx, name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	moving.Go(func() {
		for i := range 20 {
			point(t, r.store, "bank@prod", []dlm.Digest{two, one}[i%2], 0)
			if err := r.Refresh(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	moving.Wait()
	close(stop)
	routing.Wait()
	if got := r.host.pinned(); len(got) != 1 || got[0] != "one" {
		t.Errorf("pinned %v", got)
	}
}
