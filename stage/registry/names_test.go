package registry

import (
	"slices"
	"strings"
	"testing"

	"dlm"
	"dlm/internal/testkit"
)

// set moves an alias without asking a gate.
func set(t *testing.T, s dlm.Store, alias string, id dlm.Digest) {
	t.Helper()
	if err := s.SetAlias(ctx, dlm.AliasChange{Alias: alias, Adapter: id, Why: "promote"}); err != nil {
		t.Fatal(err)
	}
}

// version stores an adapter of a name; content tells versions apart.
func version(t *testing.T, s dlm.Store, name, content string) dlm.Digest {
	return put(t, s, dlm.Artifact{Kind: dlm.KindAdapter, Name: name}, map[string]string{"adapter_model.safetensors": name + content})
}

func names(t *testing.T, s dlm.Store) *Names {
	t.Helper()
	n, err := ReadNames(ctx, s, "desk")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNames(t *testing.T) {
	s := testkit.NewMemory(t)
	a1, a2, b1 := version(t, s, "a", "1"), version(t, s, "a", "2"), version(t, s, "b", "1")
	if n := names(t, s); !slices.Equal(n.List(), []string{"a", "b"}) || len(n.Versions("a")) != 2 || n.Versions("a")[0].ID != a2 || len(n.Aliases("a")) != 0 {
		t.Errorf("without aliases: %v", n.List())
	}
	is := func(name, alias string, want dlm.Digest) {
		t.Helper()
		if got := names(t, s).Aliases(name)[alias].Adapter; got != want {
			t.Errorf("%s@%s is %s, want %s", name, alias, got.Short(), want.Short())
		}
	}
	// The project's alias counts for the project and for the name it points at.
	set(t, s, "prod", a1)
	is("desk", "prod", a1)
	is("a", "prod", a1)
	is("b", "prod", "")
	if got := names(t, s).List(); !slices.Equal(got, []string{"a", "b", "desk"}) {
		t.Errorf("names %v", got)
	}
	// An alias of a name wins for that name, and for no other.
	set(t, s, "a@prod", a2)
	is("a", "prod", a2)
	is("desk", "prod", a1)
	is("b", "prod", "")
	set(t, s, "prod", b1)
	is("a", "prod", a2)
	is("b", "prod", b1)
	is("desk", "prod", b1)

	n := names(t, s)
	if got, ok := n.Version("a", a1.Short()); !ok || got.ID != a1 {
		t.Error("a version was not found by the beginning of its digest")
	}
	for _, ref := range []string{b1.Short(), "", "sha256:", a1.Hex()[:3], "zzzz"} {
		if got, ok := n.Version("a", ref); ok {
			t.Errorf("a@%s: %s", ref, got.ID.Short())
		}
	}
}

func TestCanaryShares(t *testing.T) {
	s := testkit.NewMemory(t)
	one, two := version(t, s, "a", "1"), version(t, s, "a", "2")
	verdict(t, s, one, dlm.Pass, "block")
	for name, p := range map[string]Promotion{
		"no gate":            {Alias: "a@canary", Adapter: two, Share: 0.1},
		"share of prod":      {Alias: "a@prod", Adapter: one, Share: 0.1},
		"more than all":      {Alias: "a@canary", Adapter: one, Share: 1.1},
		"less than none":     {Alias: "a@canary", Adapter: one, Share: -0.1},
		"alias of another":   {Alias: "b@prod", Adapter: one},
		"not an alias":       {Alias: "a@Prod", Adapter: one},
		"no name before the": {Alias: "@prod", Adapter: one},
	} {
		if c, err := Promote(ctx, s, p); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	c, err := Promote(ctx, s, Promotion{Alias: "a@canary", Adapter: one, Share: 0.1})
	if err != nil || c.Share != 0.1 {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := Rollback(ctx, s, "a@canary", "", ""); err == nil || !strings.Contains(err.Error(), "dlm adapters canary a --share 0") {
		t.Errorf("rolling back the first canary: %v", err)
	}
	if c, err = SetShare(ctx, s, "a@canary", 0.5, "ann"); err != nil || c.Share != 0.5 || c.Adapter != one || c.Verdict == "" || c.Why != "share 10% -> 50%" || c.Author != "ann" {
		t.Errorf("%+v, %v", c, err)
	}
	verdict(t, s, two, dlm.Pass, "block")
	if _, err = Promote(ctx, s, Promotion{Alias: "a@canary", Adapter: two, Share: 0.2}); err != nil {
		t.Fatal(err)
	}
	// Another share is no step of its own: back goes to the other adapter, and to its last share.
	if c, err = Rollback(ctx, s, "a@canary", "", ""); err != nil || c.Adapter != one || c.Share != 0.5 {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []struct {
		alias string
		share float64
	}{{"a@canary", 2}, {"a@canary", -1}, {"a@prod", 0.5}} {
		if c, err := SetShare(ctx, s, bad.alias, bad.share, ""); err == nil {
			t.Errorf("share %v of %s: %+v", bad.share, bad.alias, c)
		}
	}
}
