package testkit

import (
	"context"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dlm"
)

// Store is the conformance suite of dlm.Store. open must return a new handle on
// one and the same store each time it is called within a test t.
func Store(t *testing.T, open func(t *testing.T) func() dlm.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func() dlm.Store)
	}{
		{"put and read back", storePut},
		{"equal content has an equal id and keeps its first lineage", storeEqual},
		{"a parent must be there", storeParent},
		{"find by digest, prefix and name", storeFind},
		{"materialise", storeMaterialise},
		{"content outside the store", storeExternal},
		{"runs", storeRuns},
		{"alias history", storeAlias},
		{"a second handle sees what the first wrote", storeReopen},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// writeTree makes a folder with these files and returns it.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for p, text := range files {
		p = filepath.Join(dir, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustPut(t *testing.T, s dlm.Store, a dlm.Artifact, files map[string]string) dlm.Artifact {
	t.Helper()
	a, err := s.Put(context.Background(), a, writeTree(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func storePut(t *testing.T, open func() dlm.Store) {
	ctx, s := context.Background(), open()
	base := mustPut(t, s, dlm.Artifact{Kind: dlm.KindBase, Name: "b"}, map[string]string{"w": "weights"})
	when := time.Date(2026, 5, 4, 3, 2, 1, 987654321, time.UTC)
	a := mustPut(t, s, dlm.Artifact{Kind: dlm.KindAdapter, Name: "claims", Created: when, Seed: 1<<64 - 1, Code: "v1",
		Params: map[string]string{"train.lr": "0.001"}, Parents: []dlm.Parent{{Role: "base", ID: base.ID}}},
		map[string]string{"z.txt": "zz", "sub/a.txt": "aaa", "empty": ""})
	got, err := s.Artifact(ctx, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Kind != dlm.KindAdapter || got.Name != "claims" || !got.Created.Equal(when) || got.Seed != 1<<64-1 || got.Code != "v1" ||
		got.Params["train.lr"] != "0.001" || len(got.Parents) != 1 || got.Parents[0] != (dlm.Parent{Role: "base", ID: base.ID}) {
		t.Errorf("read back %+v", got)
	}
	if len(got.Files) != 3 || got.Files[0].Path != "empty" || got.Files[1].Path != "sub/a.txt" || got.Files[2].Path != "z.txt" || got.Files[1].Size != 3 {
		t.Fatalf("files %+v", got.Files)
	}
	r, err := s.Open(ctx, got.Files[1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != "aaa" {
		t.Errorf("content %q, %v", b, err)
	}
	one := filepath.Join(writeTree(t, map[string]string{"one.jsonl": "{}"}), "one.jsonl")
	f, err := s.Put(ctx, dlm.Artifact{Kind: dlm.KindDataset, Name: "one"}, one)
	if err != nil || len(f.Files) != 1 || f.Files[0].Path != "one.jsonl" {
		t.Errorf("one file: %+v, %v", f, err)
	}
	if _, err := s.Put(ctx, dlm.Artifact{Kind: dlm.KindDataset}, filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there was stored")
	}
	if _, err := s.Put(ctx, dlm.Artifact{Kind: dlm.KindDataset}, t.TempDir()); err == nil {
		t.Error("an empty folder was stored")
	}
	if _, err := s.Artifact(ctx, dlm.Digest("sha256:"+strings.Repeat("0", 64))); err == nil {
		t.Error("an artifact that is not there was found")
	}
}

func storeEqual(t *testing.T, open func() dlm.Store) {
	ctx, s := context.Background(), open()
	files := map[string]string{"a": "1", "b": "2"}
	first := mustPut(t, s, dlm.Artifact{Kind: dlm.KindDataset, Name: "first", Seed: 1}, files)
	again := mustPut(t, s, dlm.Artifact{Kind: dlm.KindDataset, Name: "second", Seed: 2}, files)
	if again.ID != first.ID || again.Name != "first" || again.Seed != 1 {
		t.Errorf("second put: %+v, want the first artifact", again)
	}
	other := map[string]dlm.Artifact{
		"content": mustPut(t, s, dlm.Artifact{Kind: dlm.KindDataset}, map[string]string{"a": "1", "b": "3"}),
		"path":    mustPut(t, s, dlm.Artifact{Kind: dlm.KindDataset}, map[string]string{"a": "1", "c": "2"}),
		"kind":    mustPut(t, s, dlm.Artifact{Kind: dlm.KindGolden}, files),
	}
	for what, a := range other {
		if a.ID == first.ID {
			t.Errorf("another %s has the same id", what)
		}
	}
	if all, err := s.Artifacts(ctx, dlm.KindDataset); err != nil || len(all) != 3 || all[2].ID != first.ID {
		t.Errorf("%d datasets, %v; want 3, newest first", len(all), err)
	}
	if all, err := s.Artifacts(ctx, ""); err != nil || len(all) != 4 {
		t.Errorf("%d artifacts, %v; want 4", len(all), err)
	}
}

func storeParent(t *testing.T, open func() dlm.Store) {
	s := open()
	missing := dlm.Digest("sha256:" + strings.Repeat("ab", 32))
	_, err := s.Put(context.Background(), dlm.Artifact{Kind: dlm.KindAdapter, Parents: []dlm.Parent{{Role: "base", ID: missing}}},
		writeTree(t, map[string]string{"a": "1"}))
	if err == nil || !strings.Contains(err.Error(), "base") {
		t.Errorf("a parent that is not there: %v", err)
	}
	if all, err := s.Artifacts(context.Background(), ""); err != nil || len(all) != 0 {
		t.Errorf("the refused artifact was kept: %v, %v", all, err)
	}
}

func storeFind(t *testing.T, open func() dlm.Store) {
	ctx, s := context.Background(), open()
	old := mustPut(t, s, dlm.Artifact{Kind: dlm.KindAdapter, Name: "claims"}, map[string]string{"a": "1"})
	newer := mustPut(t, s, dlm.Artifact{Kind: dlm.KindAdapter, Name: "claims"}, map[string]string{"a": "2"})
	data := mustPut(t, s, dlm.Artifact{Kind: dlm.KindDataset, Name: "rows"}, map[string]string{"a": "3"})
	for _, c := range []struct {
		kind dlm.Kind
		ref  string
		want dlm.Digest
	}{
		{dlm.KindAdapter, "claims", newer.ID}, {"", "claims", newer.ID}, {dlm.KindAdapter, string(old.ID), old.ID},
		{dlm.KindAdapter, old.ID.Short(), old.ID}, {"", old.ID.Hex(), old.ID}, {"", "sha256:" + data.ID.Short(), data.ID}, {dlm.KindDataset, "rows", data.ID},
	} {
		if a, err := s.Find(ctx, c.kind, c.ref); err != nil || a.ID != c.want {
			t.Errorf("find %q %q: %s, %v; want %s", c.kind, c.ref, a.ID, err, c.want)
		}
	}
	for _, c := range []struct {
		kind dlm.Kind
		ref  string
	}{{dlm.KindDataset, "claims"}, {dlm.KindDataset, string(old.ID)}, {dlm.KindDataset, old.ID.Short()}, {"", ""}, {"", "nothing"}, {"", "*"}, {"", "%"}} {
		if a, err := s.Find(ctx, c.kind, c.ref); err == nil {
			t.Errorf("find %q %q: %s, want an error", c.kind, c.ref, a.ID)
		}
	}
}

func storeMaterialise(t *testing.T, open func() dlm.Store) {
	ctx, s := context.Background(), open()
	a := mustPut(t, s, dlm.Artifact{Kind: dlm.KindAdapter}, map[string]string{"sub/a": "one", "b": "two"})
	for range 2 {
		dir, err := s.Materialise(ctx, a.ID)
		if err != nil {
			t.Fatal(err)
		}
		for p, want := range map[string]string{"sub/a": "one", "b": "two"} {
			if b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(p))); err != nil || string(b) != want {
				t.Errorf("%s: %q, %v", p, b, err)
			}
		}
	}
}

func storeExternal(t *testing.T, open func() dlm.Store) {
	ctx, s := context.Background(), open()
	id := dlm.Digest("sha256:" + strings.Repeat("c0", 32))
	a, err := s.Put(ctx, dlm.Artifact{ID: id, Kind: dlm.KindBase, Name: "base", Params: map[string]string{"path": "/models/b.gguf"}}, "")
	if err != nil || a.ID != id {
		t.Fatalf("%+v, %v", a, err)
	}
	if _, err := s.Materialise(ctx, id); err == nil || !strings.Contains(err.Error(), "/models/b.gguf") {
		t.Errorf("materialise: %v, want an error that says where it lies", err)
	}
	if _, err := s.Put(ctx, dlm.Artifact{Kind: dlm.KindBase}, ""); err == nil {
		t.Error("content outside the store without an id was stored")
	}
}

func storeRuns(t *testing.T, open func() dlm.Store) {
	ctx, s := context.Background(), open()
	in := dlm.Parent{Role: "data", ID: dlm.Digest("sha256:" + strings.Repeat("11", 32))}
	r, err := s.BeginRun(ctx, dlm.Run{Stage: "train", Params: map[string]string{"lr": "1"}, Inputs: []dlm.Parent{in}, Key: in.ID, Dir: "d"})
	if err != nil {
		t.Fatal(err)
	}
	if r.ID == "" || r.PID != os.Getpid() || r.Status != dlm.RunRunning || r.Started.IsZero() {
		t.Errorf("begun %+v", r)
	}
	got, err := s.Run(ctx, r.ID)
	if err != nil || got.Status != dlm.RunRunning || !slices.Equal(got.Inputs, r.Inputs) || got.Params["lr"] != "1" || got.Key != in.ID || got.Dir != "d" {
		t.Errorf("read back %+v, %v", got, err)
	}
	r.Status, r.Ended, r.Outputs, r.Metrics = dlm.RunDone, time.Now(), []dlm.Digest{in.ID}, map[string]float64{"loss": 0.5}
	if err := s.UpdateRun(ctx, r); err != nil {
		t.Fatal(err)
	}
	second, err := s.BeginRun(ctx, dlm.Run{Stage: "eval"})
	if err != nil || second.ID == r.ID {
		t.Fatalf("second run %+v, %v", second, err)
	}
	all, err := s.Runs(ctx)
	if err != nil || len(all) != 2 || all[0].ID != second.ID || all[1].Metrics["loss"] != 0.5 || all[1].Status != dlm.RunDone || len(all[1].Outputs) != 1 {
		t.Errorf("runs %+v, %v; want newest first", all, err)
	}
	if err := s.UpdateRun(ctx, dlm.Run{ID: "r-none", Stage: "x"}); err == nil {
		t.Error("a run that was never begun was updated")
	}
	if _, err := s.Run(ctx, "r-none"); err == nil {
		t.Error("a run that was never begun was found")
	}
}

func storeAlias(t *testing.T, open func() dlm.Store) {
	ctx, s := context.Background(), open()
	one := mustPut(t, s, dlm.Artifact{Kind: dlm.KindAdapter}, map[string]string{"a": "1"})
	two := mustPut(t, s, dlm.Artifact{Kind: dlm.KindAdapter}, map[string]string{"a": "2"})
	data := mustPut(t, s, dlm.Artifact{Kind: dlm.KindDataset}, map[string]string{"a": "3"})
	if _, err := s.Alias(ctx, "prod"); err == nil {
		t.Error("an alias that was never set was found")
	}
	for i, id := range []dlm.Digest{one.ID, two.ID, one.ID} {
		c := dlm.AliasChange{Alias: "prod", Adapter: id, Why: "promote", Author: "ann", Forced: i == 1}
		if err := s.SetAlias(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetAlias(ctx, dlm.AliasChange{Alias: "canary", Adapter: two.ID}); err != nil {
		t.Fatal(err)
	}
	scoped := dlm.AliasChange{Alias: "Support/en@canary", Adapter: two.ID, Share: 0.1}
	if err := s.SetAlias(ctx, scoped); err != nil {
		t.Fatal(err)
	}
	if c, err := s.Alias(ctx, scoped.Alias); err != nil || c.Adapter != two.ID || c.Share != 0.1 || c.Alias != scoped.Alias {
		t.Errorf("alias of one name %+v, %v", c, err)
	}
	c, err := s.Alias(ctx, "prod")
	if err != nil || c.Share != 0 || c.Adapter != one.ID || c.Author != "ann" || c.At.IsZero() {
		t.Errorf("alias %+v, %v", c, err)
	}
	h, err := s.History(ctx, "prod")
	if err != nil || len(h) != 3 || h[0].Adapter != one.ID || h[1].Adapter != two.ID || !h[1].Forced || h[2].Adapter != one.ID {
		t.Errorf("history %+v, %v", h, err)
	}
	all, err := s.History(ctx, "")
	if err != nil || len(all) != 5 || all[0].Author == "" {
		t.Errorf("whole history %+v, %v", all, err)
	}
	for _, bad := range []dlm.AliasChange{{Alias: "prod", Adapter: data.ID}, {Alias: "", Adapter: one.ID}, {Alias: "Prod!", Adapter: one.ID},
		{Alias: "@prod", Adapter: one.ID}, {Alias: "x@", Adapter: one.ID}, {Alias: "x@canary", Adapter: one.ID, Share: 1.5}, {Alias: "x@canary", Adapter: one.ID, Share: math.NaN()},
		{Alias: "prod", Adapter: dlm.Digest("sha256:" + strings.Repeat("0", 64))}, {Alias: "prod", Adapter: one.ID, Verdict: data.ID}} {
		if err := s.SetAlias(ctx, bad); err == nil {
			t.Errorf("alias change %+v was accepted", bad)
		}
	}
}

func storeReopen(t *testing.T, open func() dlm.Store) {
	ctx, s := context.Background(), open()
	a := mustPut(t, s, dlm.Artifact{Kind: dlm.KindDataset, Name: "x"}, map[string]string{"a": "1"})
	other := open()
	if got, err := other.Find(ctx, dlm.KindDataset, "x"); err != nil || got.ID != a.ID {
		t.Errorf("second handle: %+v, %v", got, err)
	}
	mustPut(t, other, dlm.Artifact{Kind: dlm.KindDataset, Name: "y"}, map[string]string{"a": "2"})
	if _, err := s.Find(ctx, dlm.KindDataset, "y"); err != nil {
		t.Errorf("first handle after the second wrote: %v", err)
	}
}
