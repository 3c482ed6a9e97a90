package registry

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm"
	"dlm/internal/testkit"
)

var ctx = context.Background()

func put(t *testing.T, s dlm.Store, a dlm.Artifact, files map[string]string) dlm.Digest {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Put(ctx, a, dir)
	if err != nil {
		t.Fatal(err)
	}
	return got.ID
}

func adapter(t *testing.T, s dlm.Store, name string, params map[string]string, parents ...dlm.Parent) dlm.Digest {
	return put(t, s, dlm.Artifact{Kind: dlm.KindAdapter, Name: name, Params: params, Parents: parents}, map[string]string{"adapter_model.safetensors": name})
}

func verdict(t *testing.T, s dlm.Store, on dlm.Digest, outcome dlm.Outcome, policy string) dlm.Digest {
	t.Helper()
	dir := t.TempDir()
	v := VerdictRecord{Verdict: dlm.Verdict{Outcome: outcome, Metric: "exact", N: 100, Reason: "because"}, Adapter: on, OnInconclusive: policy}
	if err := WriteVerdict(dir, v); err != nil {
		t.Fatal(err)
	}
	a, err := s.Put(ctx, dlm.Artifact{Kind: dlm.KindVerdict, Parents: []dlm.Parent{{Role: "candidate", ID: on}}}, dir)
	if err != nil {
		t.Fatal(err)
	}
	return a.ID
}

func TestPromote(t *testing.T) {
	s := testkit.NewMemory(t)
	good, bad, unsure, unjudged := adapter(t, s, "good", nil), adapter(t, s, "bad", nil), adapter(t, s, "unsure", nil), adapter(t, s, "unjudged", nil)
	passed := verdict(t, s, good, dlm.Pass, "block")
	failed := verdict(t, s, bad, dlm.Fail, "block")
	blocked := verdict(t, s, unsure, dlm.Inconclusive, "block")

	for name, p := range map[string]Promotion{
		"no gate":                 {Alias: "prod", Adapter: unjudged},
		"failed gate":             {Alias: "prod", Adapter: bad},
		"failed gate named":       {Alias: "prod", Adapter: bad, Verdict: failed},
		"inconclusive":            {Alias: "prod", Adapter: unsure, Verdict: blocked},
		"another one's verdict":   {Alias: "prod", Adapter: bad, Verdict: passed},
		"another one's, unjudged": {Alias: "prod", Adapter: unjudged, Verdict: passed},
	} {
		if _, err := Promote(ctx, s, p); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Promote(ctx, s, Promotion{Alias: "prod", Adapter: passed}); err == nil {
		t.Error("a verdict was promoted")
	}
	if h, _ := s.History(ctx, ""); len(h) != 0 {
		t.Fatalf("a refused promotion was recorded: %+v", h)
	}

	c, err := Promote(ctx, s, Promotion{Alias: "prod", Adapter: good, Author: "ann"})
	if err != nil || c.Adapter != good || c.Verdict != passed || c.Forced || c.Author != "ann" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := Promote(ctx, s, Promotion{Alias: "prod", Adapter: good}); err != nil {
		t.Error(err)
	}
	if h, _ := s.History(ctx, "prod"); len(h) != 1 {
		t.Errorf("promoting again what is there: %+v", h)
	}

	if _, err := Promote(ctx, s, Promotion{Alias: "prod", Adapter: bad, Force: true}); err == nil || !strings.Contains(err.Error(), "reason") {
		t.Errorf("forced without a reason: %v", err)
	}
	c, err = Promote(ctx, s, Promotion{Alias: "prod", Adapter: bad, Force: true, Reason: "the golden set is wrong"})
	if err != nil || !c.Forced || c.Verdict != "" || !strings.Contains(c.Why, "the golden set is wrong") {
		t.Errorf("forced: %+v, %v", c, err)
	}

	// The project may accept what cannot be decided; that is recorded.
	verdict(t, s, unsure, dlm.Inconclusive, "warn")
	if c, err = Promote(ctx, s, Promotion{Alias: "prod", Adapter: unsure}); err != nil || !strings.Contains(c.Why, "inconclusive") {
		t.Errorf("%+v, %v", c, err)
	}
	// A newer verdict counts more than an older one.
	verdict(t, s, good, dlm.Fail, "block")
	if _, err := Promote(ctx, s, Promotion{Alias: "prod", Adapter: good}); !errors.Is(err, ErrRefused) {
		t.Errorf("passed once, failed since: %v", err)
	}
}

func TestRollback(t *testing.T) {
	s := testkit.NewMemory(t)
	var ids []dlm.Digest
	for _, name := range []string{"one", "two", "three"} {
		id := adapter(t, s, name, nil)
		verdict(t, s, id, dlm.Pass, "block")
		ids = append(ids, id)
		if _, err := Promote(ctx, s, Promotion{Alias: "prod", Adapter: id}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []dlm.Digest{ids[1], ids[0]} {
		c, err := Rollback(ctx, s, "prod", "it was slow", "ann")
		if err != nil || c.Adapter != want || c.Verdict == "" || !strings.Contains(c.Why, "it was slow") {
			t.Errorf("%+v, %v; want %s", c, err, want.Short())
		}
	}
	if _, err := Rollback(ctx, s, "prod", "", ""); err == nil || !strings.Contains(err.Error(), "no other") {
		t.Errorf("beyond the first: %v", err)
	}
	// Promoted again after the rollbacks, then back: to where it was.
	if _, err := Promote(ctx, s, Promotion{Alias: "prod", Adapter: ids[2]}); err != nil {
		t.Fatal(err)
	}
	if c, err := Rollback(ctx, s, "prod", "", ""); err != nil || c.Adapter != ids[0] {
		t.Errorf("%+v, %v", c, err)
	}
	if h, _ := s.History(ctx, "prod"); len(h) != 7 {
		t.Errorf("%d changes, want all 7", len(h))
	}
	if _, err := Rollback(ctx, s, "canary", "", ""); err == nil {
		t.Error("an alias that was never set was rolled back")
	}
}

// putReport stores a report in which the adapter has an arm.
func putReport(t *testing.T, s dlm.Store, id dlm.Digest, value float64) {
	t.Helper()
	b, err := json.Marshal(dlm.Report{Primary: "exact", Arms: []dlm.Arm{{Name: "zero-shot", Metrics: []dlm.Metric{{Name: "exact", Value: 0.1}}},
		{Name: "x", Adapter: id, Metrics: []dlm.Metric{{Name: "exact", Value: value}}}}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, dlm.Artifact{Kind: dlm.KindReport, Parents: []dlm.Parent{{Role: "candidate", ID: id}}}, map[string]string{ReportFile: string(b)})
}

func TestListDiffResolve(t *testing.T) {
	s := testkit.NewMemory(t)
	data := put(t, s, dlm.Artifact{Kind: dlm.KindDataset}, map[string]string{"d": "1"})
	more := put(t, s, dlm.Artifact{Kind: dlm.KindDataset}, map[string]string{"d": "2"})
	a := adapter(t, s, "a", map[string]string{"lr": "0.001", "rank": "16"}, dlm.Parent{Role: "data", ID: data})
	b := adapter(t, s, "b", map[string]string{"lr": "0.01", "rank": "16"}, dlm.Parent{Role: "data", ID: more})
	putReport(t, s, a, 0.5)
	putReport(t, s, b, 0.25)
	putReport(t, s, b, 0.75) // newer
	verdict(t, s, b, dlm.Pass, "block")
	if _, err := Promote(ctx, s, Promotion{Alias: "prod", Adapter: b}); err != nil {
		t.Fatal(err)
	}

	list, err := List(ctx, s)
	if err != nil || len(list) != 2 || list[0].ID != b || list[0].Outcome != dlm.Pass || len(list[0].Aliases) != 1 || list[0].Metric == nil || list[0].Metric.Value != 0.75 || list[1].Outcome != "" {
		t.Errorf("%+v, %v", list, err)
	}

	d, err := Diff(ctx, s, a, b)
	if err != nil || len(d.Settings) != 2 || d.Settings[0] != (Difference{"lr", "0.001", "0.01"}) || len(d.Parents) != 1 || len(d.Files) != 1 ||
		len(d.Metrics) != 1 || d.Metrics[0].A.Value != 0.5 || d.Metrics[0].B.Value != 0.75 || d.Same {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err := Diff(ctx, s, a, a); err != nil || !d.Same || len(d.Settings)+len(d.Parents)+len(d.Files) != 0 {
		t.Errorf("with itself: %+v, %v", d, err)
	}

	for ref, want := range map[string]dlm.Digest{"prod": b, "desk@prod": b, "b@prod": b, "a@" + a.Short(): a, "a@" + string(a): a, "a": a, a.Short(): a, string(b): b} {
		if got, err := Resolve(ctx, s, "desk", ref); err != nil || got.ID != want {
			t.Errorf("%s: %s, %v", ref, got.ID.Short(), err)
		}
	}
	for _, ref := range []string{"canary", "a@prod", "other@prod", "a@" + b.Short(), "a@", "@prod"} {
		if got, err := Resolve(ctx, s, "desk", ref); err == nil {
			t.Errorf("%s was found: %s", ref, got.ID.Short())
		}
	}
}
