package route

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dlm"
	"dlm/serve"
)

func TestNamesOfTheStore(t *testing.T) {
	r := newRig(t)
	a1 := put(t, r.store, "bank", "one", ourBase)
	r.start()
	r.is("bank", "one", "")
	base, err := r.Route(ctx, serve.Query{Model: "tiny"})
	if err != nil || base.Ref != "" || base.Adapter != "" || base.Base != ourBase || base.Name != "tiny" {
		t.Errorf("the base: %+v, %v", base, err)
	}
	a2 := put(t, r.store, "bank", "two", ourBase)
	r.refreshed()
	r.refuses("bank", "2 versions and no alias prod; expected one of bank@"+a2.Short()+", bank@"+a1.Short())
	r.is("bank@"+a1.Short(), "one", "")
	r.is("bank@"+string(a2), "two", "")
	point(t, r.store, "bank@prod", a1, 0)
	r.refreshed()
	r.is("bank", "one", "prod")
	r.is("bank@prod", "one", "prod")
	r.refuses("bank@staging", "expected one of bank@prod")
	r.refuses("bnak", "near it: bank, ")
	r.refuses("tiny@prod", "neither aliases nor versions")
	r.refuses("bank@", "not served here")
	r.refuses("", "not served here")
	// An alias of the whole project counts for the project and the name it points at.
	c1 := put(t, r.store, "claims", "three", ourBase)
	point(t, r.store, "prod", c1, 0)
	r.refreshed()
	r.is("claims", "three", "prod")
	r.is("desk@prod", "three", "prod")
	r.is("desk", "three", "prod")
	r.is("bank", "one", "prod")
	if got, err := r.Route(ctx, serve.Query{Model: "desk"}); err != nil || got.Name != "claims" {
		t.Errorf("whose name is allowed or not: %+v, %v", got, err)
	}
}

// Names that the caller may not use do not stand in a refusal.
func TestRefusalsKeepOthersNames(t *testing.T) {
	r := newRig(t)
	put(t, r.store, "bank-a", "one", ourBase)
	put(t, r.store, "bank-b", "two", ourBase)
	r.start()
	_, err := r.Route(ctx, serve.Query{Model: "bank-x", Allows: func(name string) bool { return name == "bank-b" }})
	if err == nil || strings.Contains(err.Error(), "bank-a") || !strings.Contains(err.Error(), "bank-b") {
		t.Error(err)
	}
}

func TestModels(t *testing.T) {
	r := newRig(t)
	r.o.Engines = append(r.o.Engines, Engine{Name: "vllm", Model: "big", Models: []EngineModel{{Name: "big-sql", Ref: "sql", Parent: "big"}}})
	a1 := put(t, r.store, "bank", "one", ourBase)
	a2 := put(t, r.store, "bank", "two", ourBase)
	put(t, r.store, "foreign", "three", otherBase)
	point(t, r.store, "bank@prod", a1, 0)
	point(t, r.store, "bank@canary", a2, 0.1)
	v1, v2 := put(t, r.store, "many", "four", ourBase), put(t, r.store, "many", "five", ourBase)
	r.start()
	models, err := r.Models(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range models {
		got = append(got, fmt.Sprintf("%s<%s %v", m.ID, m.Parent, m.Aliases))
		if _, err := r.Route(ctx, serve.Query{Model: m.ID}); err != nil {
			t.Errorf("%s is listed and refused: %v", m.ID, err)
		}
	}
	want := []string{"tiny< []", "big< []", "bank<tiny [prod]", "bank@canary<tiny [canary]", "bank@prod<tiny [prod]", "big-sql<big []",
		"many@" + v2.Short() + "<tiny []", "many@" + v1.Short() + "<tiny []"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if up, err := r.Route(ctx, serve.Query{Model: "big-sql"}); err != nil || up.Ref != "sql" || up.Engine != "vllm" {
		t.Errorf("%+v, %v", up, err)
	}
	r.refuses("foreign", "it was trained on base tiny (000000000000)")
}

func TestCanary(t *testing.T) {
	r := newRig(t)
	a1, a2 := put(t, r.store, "bank", "one", ourBase), put(t, r.store, "bank", "two", ourBase)
	point(t, r.store, "bank@prod", a1, 0)
	point(t, r.store, "bank@canary", a2, 0.1)
	r.start()
	r.draw = 0.09
	r.is("bank", "two", "canary")
	r.draw = 0.1
	r.is("bank", "one", "prod")
	r.draw = 0
	r.is("bank@prod", "one", "prod")
	r.is("bank@canary", "two", "canary")

	// Who is sticky stays on its side, also while the share grows.
	side := func() map[string]bool {
		out := map[string]bool{}
		for i := range 5000 {
			who := fmt.Sprint("user-", i)
			got, err := r.Route(ctx, serve.Query{Model: "bank", Sticky: who})
			if err != nil {
				t.Fatal(err)
			}
			out[who] = got.Alias == "canary"
		}
		return out
	}
	count := func(m map[string]bool) (n int) {
		for _, c := range m {
			if c {
				n++
			}
		}
		return n
	}
	tenth, again := side(), side()
	if n := count(tenth); n < 400 || n > 600 {
		t.Errorf("%d of 5000 for a share of 10%%", n)
	}
	point(t, r.store, "bank@canary", a2, 0.5)
	r.refreshed()
	half := side()
	if n := count(half); n < 2300 || n > 2700 {
		t.Errorf("%d of 5000 for a share of 50%%", n)
	}
	for who, c := range tenth {
		if again[who] != c || c && !half[who] {
			t.Errorf("%s changed sides", who)
		}
	}
	point(t, r.store, "bank@canary", a2, 0)
	r.refreshed()
	if n := count(side()); n != 0 {
		t.Errorf("%d of 5000 for no share", n)
	}
	r.is("bank@canary", "two", "canary")
}

// An alias moves when its adapter is in memory, and not before; the one before is
// let go only then.
func TestPrewarm(t *testing.T) {
	r := newRig(t)
	a1, a2 := put(t, r.store, "bank", "one", ourBase), put(t, r.store, "bank", "two", ourBase)
	point(t, r.store, "bank@prod", a1, 0)
	r.start()
	if got := r.host.pinned(); !slices.Equal(got, []string{"one"}) {
		t.Errorf("pinned %v", got)
	}
	gate := make(chan bool)
	r.host.mu.Lock()
	r.host.wait["two"] = gate
	r.host.mu.Unlock()
	point(t, r.store, "bank@prod", a2, 0)
	done := make(chan error)
	go func() { done <- r.Refresh(ctx) }()
	for range 5 {
		time.Sleep(time.Millisecond)
		r.is("bank", "one", "prod")
	}
	close(gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.is("bank", "two", "prod")
	if got := r.host.pinned(); !slices.Equal(got, []string{"two"}) {
		t.Errorf("pinned %v", got)
	}
}

func TestRefusedPromotionKeepsTheOld(t *testing.T) {
	r := newRig(t)
	a1, a2 := put(t, r.store, "bank", "one", ourBase), put(t, r.store, "bank", "two", ourBase)
	foreign := put(t, r.store, "bank", "three", otherBase)
	r.host.refuse["two"] = errors.New("tensor of the wrong shape")
	point(t, r.store, "bank@prod", a1, 0)
	r.start()
	for _, c := range []struct {
		to   dlm.Digest
		text string
	}{{a2, "tensor of the wrong shape"}, {foreign, "trained on base"}} {
		point(t, r.store, "bank@prod", c.to, 0)
		r.refreshed()
		r.is("bank", "one", "prod")
		if p := r.Problems(); len(p) != 1 || !strings.Contains(p[0], c.text) || !strings.Contains(p[0], "still means "+a1.Short()) {
			t.Errorf("problems %q", p)
		}
		if err := r.Ready(); err != nil {
			t.Errorf("one refused adapter takes the server out: %v", err)
		}
	}
	// Rolled back: all is well again.
	point(t, r.store, "bank@prod", a1, 0)
	r.refreshed()
	if p := r.Problems(); len(p) != 0 {
		t.Errorf("problems %q", p)
	}
	// The reason is gone: it moves when it is tried again.
	point(t, r.store, "bank@prod", a2, 0)
	r.refreshed()
	r.is("bank", "one", "prod")
	r.host.mu.Lock()
	clear(r.host.refuse)
	r.host.mu.Unlock()
	r.refreshed()
	r.is("bank", "two", "prod")
	if got := r.host.pinned(); !slices.Equal(got, []string{"two"}) {
		t.Errorf("pinned %v", got)
	}
	// An alias that never meant anything else is refused; never the base instead.
	sick := put(t, r.store, "sick", "four", ourBase)
	r.host.refuse["four"] = errors.New("corrupt")
	point(t, r.store, "sick@prod", sick, 0)
	r.refreshed()
	r.refuses("sick", "corrupt")
	// A canary that cannot be served leaves all to prod.
	point(t, r.store, "bank@canary", foreign, 1)
	r.refreshed()
	r.is("bank", "two", "prod")
	r.refuses("bank@canary", "trained on base")
}

// An engine without room is asked again at the next poll, not half a minute later.
func TestBusyPromotionIsTriedAgain(t *testing.T) {
	r := newRig(t)
	r.o.Poll = 5 * time.Millisecond
	one := put(t, r.store, "bank", "one", ourBase)
	point(t, r.store, "bank@prod", one, 0)
	r.host.refuse["one"] = dlm.Faultf(dlm.FaultBusy, "", "no room")
	r.start()
	r.refuses("bank", "no room")
	poll, stop := context.WithCancel(ctx)
	ended := make(chan bool)
	go func() { r.Run(poll); close(ended) }()
	defer func() { stop(); <-ended }()
	r.host.mu.Lock()
	clear(r.host.refuse)
	r.host.mu.Unlock()
	for range 1000 {
		if _, err := r.Route(ctx, serve.Query{Model: "bank"}); err == nil {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	r.is("bank", "one", "prod")
}

func TestStoreFails(t *testing.T) {
	r := newRig(t)
	a1 := put(t, r.store, "bank", "one", ourBase)
	point(t, r.store, "bank@prod", a1, 0)
	r.start()
	r.store.mu.Lock()
	r.store.fail = errors.New("disk gone")
	r.store.mu.Unlock()
	if err := r.Refresh(ctx); err == nil {
		t.Error("a store that fails is no error of Refresh")
	}
	r.is("bank", "one", "prod")
	if p := r.Problems(); !slices.Equal(p, []string{"store: disk gone"}) {
		t.Errorf("problems %q", p)
	}
	r.store.mu.Lock()
	r.store.fail = nil
	r.store.mu.Unlock()
	r.refreshed()
	if p := r.Problems(); len(p) != 0 {
		t.Errorf("problems %q", p)
	}
}

// The store is polled, and read at once for a name that is not known yet.
func TestPollAndFirstUse(t *testing.T) {
	r := newRig(t)
	r.o.Poll = 5 * time.Millisecond
	a1 := put(t, r.store, "bank", "one", ourBase)
	point(t, r.store, "bank@prod", a1, 0)
	r.start()
	put(t, r.store, "fresh", "new", ourBase)
	r.is("fresh", "new", "")
	poll, stop := context.WithCancel(ctx)
	ended := make(chan bool)
	go func() { r.Run(poll); close(ended) }()
	defer func() { stop(); <-ended }()
	a2 := put(t, r.store, "bank", "two", ourBase)
	point(t, r.store, "bank@prod", a2, 0)
	for range 1000 {
		if got, err := r.Route(ctx, serve.Query{Model: "bank"}); err != nil || got.Adapter == a2 {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	r.is("bank", "two", "prod")
}

func TestNotReadyBeforeWarm(t *testing.T) {
	r := newRig(t)
	c, err := New(r.o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Ready(); err == nil {
		t.Error("ready before adapters are in")
	}
	if _, err := c.Route(ctx, serve.Query{Model: "tiny"}); dlm.FaultOf(err) != dlm.FaultBusy {
		t.Errorf("%v", err)
	}
}

func TestStaticAdapters(t *testing.T) {
	r := newRig(t)
	r.o.Static = []Named{{"mine", folder(t, "one", ourBase)}}
	r.start()
	r.is("mine", "one", "")
	for name, bad := range map[string][]Named{
		"another base": {{"x", folder(t, "one", otherBase)}},
		"no folder":    {{"x", filepath.Join(t.TempDir(), "none")}},
		"no identity":  {{"x", t.TempDir()}},
		"twice":        {{"x", folder(t, "one", ourBase)}, {"x", folder(t, "two", ourBase)}},
		"base's name":  {{"tiny", folder(t, "one", ourBase)}},
		"an alias":     {{"x@prod", folder(t, "one", ourBase)}},
	} {
		o := r.o
		o.Static = bad
		if _, err := New(o); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	r.host.refuse["sick"] = errors.New("corrupt")
	o := r.o
	o.Static = []Named{{"x", folder(t, "sick", ourBase)}}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Warm(ctx); err == nil || !strings.Contains(err.Error(), "corrupt") {
		t.Errorf("%v", err)
	}
}
