package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dlm"
	"dlm/stage/curate"
)

func item(id, q string) dlm.Item {
	return dlm.Item{ID: id, Messages: []dlm.Message{{Role: "user", Content: q}}, Target: "yes"}
}

func newGolden(t *testing.T, items ...dlm.Item) *GoldenSet {
	t.Helper()
	g, err := NewGolden(filepath.Join(t.TempDir(), "golden.jsonl"), "set", "ann", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(items) > 0 {
		if err := g.Add(items, "ann", "first"); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func TestGoldenVersions(t *testing.T) {
	g := newGolden(t, item("1", "What is a premium?"), item("2", "Where is my card?"))
	if err := g.Add([]dlm.Item{item("3", "Who are you?")}, "bob", ""); err != nil {
		t.Fatal(err)
	}
	got, err := OpenGolden(g.Path)
	if err != nil || got.Version() != 3 || len(got.Items) != 3 || got.Modified || got.Locked || got.History[2].Author != "bob" || got.History[2].Items != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := got.Add([]dlm.Item{item("3", "Other?")}, "bob", ""); err == nil {
		t.Error("an id came twice")
	}
	if err := got.Add([]dlm.Item{item("4", "what is a  PREMIUM")}, "bob", ""); err == nil {
		t.Error("a prompt came twice")
	}
	if err := got.Add([]dlm.Item{item("5", "New?")}, " ", ""); err == nil {
		t.Error("a change without an author")
	}
}

func TestGoldenLock(t *testing.T) {
	g := newGolden(t)
	if err := g.Lock("ann", ""); err == nil {
		t.Error("an empty set was locked")
	}
	g = newGolden(t, item("1", "What is a premium?"))
	if err := g.Lock("ann", "reviewed"); err != nil {
		t.Fatal(err)
	}
	g, err := OpenGolden(g.Path)
	if err != nil || !g.Locked {
		t.Fatalf("%+v, %v", g, err)
	}
	for name, err := range map[string]error{
		"add":  g.Add([]dlm.Item{item("2", "Other?")}, "bob", ""),
		"lock": g.Lock("bob", ""),
	} {
		if !errors.Is(err, ErrGoldenLocked) || !strings.Contains(err.Error(), "ann") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// An edit by hand is detected on the next use.
	b, _ := os.ReadFile(g.Path)
	if err := os.WriteFile(g.Path, []byte(strings.Replace(string(b), "yes", "no", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenGolden(g.Path); !errors.Is(err, ErrGoldenChanged) {
		t.Errorf("edited by hand: %v", err)
	}
}

func TestGoldenEditByHandIsRecorded(t *testing.T) {
	g := newGolden(t, item("1", "What is a premium?"))
	b, _ := os.ReadFile(g.Path)
	if err := os.WriteFile(g.Path, []byte(strings.Replace(string(b), "yes", "no", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	g, err := OpenGolden(g.Path)
	if err != nil || !g.Modified {
		t.Fatalf("%+v, %v", g, err)
	}
	if err := g.Lock("bob", ""); err != nil {
		t.Fatal(err)
	}
	if g, err = OpenGolden(g.Path); err != nil || g.Version() != 4 || g.History[2].Action != "edit" || g.History[3].Action != "lock" || g.Modified {
		t.Errorf("%+v, %v", g, err)
	}
}

func TestGoldenHistoryCannotBeRewritten(t *testing.T) {
	g := newGolden(t, item("1", "What is a premium?"))
	if err := g.Lock("ann", ""); err != nil {
		t.Fatal(err)
	}
	hist := historyPath(g.Path)
	b, _ := os.ReadFile(hist)
	for name, edit := range map[string]func(string) string{
		"author":     func(s string) string { return strings.Replace(s, `"ann"`, `"bob"`, 1) },
		"lock field": func(s string) string { return strings.Replace(s, `"locked": true`, `"locked": false`, 1) },
		"cut":        func(s string) string { return s[:len(s)/2] },
		"field":      func(s string) string { return strings.Replace(s, `"locked"`, `"looked"`, 1) },
		"empty":      func(string) string { return `{"name":"x","locked":false,"history":[]}` },
	} {
		if err := os.WriteFile(hist, []byte(edit(string(b))), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenGolden(g.Path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Hashes can be made again, but not for one entry alone.
func TestGoldenChain(t *testing.T) {
	g := newGolden(t, item("1", "What is a premium?"))
	b, err := os.ReadFile(historyPath(g.Path))
	if err != nil {
		t.Fatal(err)
	}
	var f goldenFile
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	f.History[0].Author = "bob"
	f.History[0].Hash = f.History[0].hash()
	if b, err = json.Marshal(f); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(historyPath(g.Path), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenGolden(g.Path); !errors.Is(err, ErrGoldenChanged) || !strings.Contains(err.Error(), "entry 2") {
		t.Errorf("%v", err)
	}
}

func TestGoldenWithoutHistory(t *testing.T) {
	p := filepath.Join(t.TempDir(), "g.jsonl")
	if err := os.WriteFile(p, []byte(`{"id":"1","prompt":"a?","target":"b"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	g, err := OpenGolden(p)
	if err != nil || len(g.Items) != 1 || g.Version() != 0 {
		t.Fatalf("%+v, %v", g, err)
	}
	if err := g.Lock("ann", ""); err == nil {
		t.Error("locked without a history")
	}
	if g, err = NewGolden(p, "", "ann", ""); err != nil || g.Version() != 1 || g.History[0].Items != 1 {
		t.Errorf("%+v, %v", g, err)
	}
	if err := g.Add([]dlm.Item{item("2", "c?")}, "ann", ""); err != nil {
		t.Error(err) // the file had no line end
	}
	if g, err = OpenGolden(p); err != nil || len(g.Items) != 2 {
		t.Errorf("%+v, %v", g, err)
	}
}

// splitFile writes rows: 60 questions, some of them twice or almost, in
// conversations of three.
func splitFile(t *testing.T) string {
	t.Helper()
	topics := strings.Fields("premium deductible invoice password address refund delivery contract warranty battery")
	verbs := strings.Fields("cancel change check explain extend pay")
	var b strings.Builder
	n := 0
	row := func(q, cluster string) {
		n++
		fmt.Fprintf(&b, `{"id":"r%d","messages":[{"role":"user","content":%q},{"role":"assistant","content":"answer %d"}],"cluster":%q}`+"\n", n, q, n, cluster)
	}
	for i, topic := range topics {
		for j, verb := range verbs {
			row(fmt.Sprintf("How can I %s the %s of my account?", verb, topic), fmt.Sprintf("c%d-%d", i, j/3))
		}
	}
	row("how can i CANCEL the premium of my account", "")   // equal to the first after normalising
	row("How can I cancel the premium of my accounts?", "") // almost
	p := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(p, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSplitGolden(t *testing.T) {
	data := splitFile(t)
	all, _, err := curate.ReadRecords(data, curate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	took := map[string]bool{}
	for seed := range uint64(12) {
		dir := t.TempDir()
		o := SplitOptions{Data: data, Out: filepath.Join(dir, "train.jsonl"), Golden: filepath.Join(dir, "golden.jsonl"), Items: 9, Seed: seed, Author: "ann"}
		res, err := SplitGolden(o)
		if err != nil {
			t.Fatal(err)
		}
		g, err := OpenGolden(o.Golden)
		if err != nil || len(g.Items) < 9 || len(g.Items) > 11 || len(g.Items) != res.Items || g.History[len(g.History)-1].Action != "split" {
			t.Fatalf("%+v, %v", g, err)
		}
		train, _, err := curate.ReadRecords(o.Out, curate.Options{})
		if err != nil || len(train) != res.Train {
			t.Fatalf("%d rows, %v", len(train), err)
		}
		removed := 0
		if res.Removed != "" {
			r, _, err := curate.ReadRecords(res.Removed, curate.Options{})
			if err != nil {
				t.Fatal(err)
			}
			removed = len(r)
		}
		if res.Items+res.Train+removed != len(all) || removed != res.Equal+res.Near {
			t.Errorf("seed %d: rows were lost: %+v of %d", seed, res, len(all))
		}
		clusters := map[string]bool{}
		var texts []string
		for _, it := range g.Items {
			clusters[it.Cluster] = true
			texts = append(texts, curate.PromptText(it.Messages))
			took[it.ID] = true
		}
		x := curate.NewIndex(texts)
		for _, r := range train {
			if r.Cluster != "" && clusters[r.Cluster] {
				t.Errorf("seed %d: cluster %s stands on both sides", seed, r.Cluster)
			}
			if m := x.Find(curate.Prompts(r.Row)[0], 0.9); len(m) > 0 {
				t.Errorf("seed %d: %q is still trained on", seed, r.Row.Messages[0].Content)
			}
		}
	}
	if len(took) < 30 {
		t.Errorf("12 seeds took only %d different items", len(took))
	}
}

func TestSplitDoesNotDependOnTheOrder(t *testing.T) {
	data := splitFile(t)
	items := func(path string) []string {
		dir := t.TempDir()
		o := SplitOptions{Data: path, Out: filepath.Join(dir, "t.jsonl"), Golden: filepath.Join(dir, "g.jsonl"), Items: 9, Seed: 5, Author: "ann"}
		if _, err := SplitGolden(o); err != nil {
			t.Fatal(err)
		}
		g, _ := OpenGolden(o.Golden)
		var ids []string
		for _, it := range g.Items {
			ids = append(ids, curate.PromptText(it.Messages))
		}
		slices.Sort(ids)
		return ids
	}
	b, _ := os.ReadFile(data)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	lines = lines[:60] // without the duplicate, of which the first row counts
	one, two := filepath.Join(t.TempDir(), "a.jsonl"), filepath.Join(t.TempDir(), "b.jsonl")
	os.WriteFile(one, []byte(strings.Join(lines, "\n")), 0o644)
	slices.Reverse(lines)
	os.WriteFile(two, []byte(strings.Join(lines, "\n")), 0o644)
	if a, b := items(one), items(two); !slices.Equal(a, b) {
		t.Errorf("%v\n%v", a, b)
	}
}

func TestSplitInPlaceAndRefusals(t *testing.T) {
	data := splitFile(t)
	golden := filepath.Join(t.TempDir(), "golden.jsonl")
	o := SplitOptions{Data: data, Out: data, Golden: golden, Items: 6, Seed: 1, Author: "ann"}
	if _, err := SplitGolden(o); err != nil {
		t.Fatal(err)
	}
	// A second split adds to the set and leaves no item in the file.
	if res, err := SplitGolden(o); err != nil || res.Items < 6 {
		t.Fatalf("%+v, %v", res, err)
	}
	g, err := OpenGolden(golden)
	if err != nil || len(g.Items) < 12 {
		t.Fatalf("%d items, %v", len(g.Items), err)
	}
	before, _ := os.ReadFile(data)
	for name, bad := range map[string]func(o *SplitOptions){
		"too many":  func(o *SplitOptions) { o.Items = 1000 },
		"over half": func(o *SplitOptions) { o.Items = 40 },
		"none":      func(o *SplitOptions) { o.Items = 0 },
		"locked":    func(*SplitOptions) { g.Lock("ann", "") },
	} {
		o := o
		bad(&o)
		if _, err := SplitGolden(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if after, _ := os.ReadFile(data); string(after) != string(before) {
		t.Error("a refused split changed the file")
	}
}

func TestSplitHeld(t *testing.T) {
	rows, err := curate.Read(splitFile(t), curate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 * len(rows) {
		h := Held{Rows: i / 4}
		if i%4 == 3 {
			h = Held{Part: float64(i) / float64(8*len(rows))}
		}
		train, held := SplitHeld(rows, h, uint64(i%4))
		if len(train)+len(held) != len(rows) {
			t.Errorf("%v: rows were lost", h)
		}
		want := h.Rows
		if h.Part > 0 {
			want = int(float64(len(rows))*h.Part + 0.5)
		}
		if len(held) > want || want > 0 && len(held) < want-2 {
			t.Errorf("%v: %d held out", h, len(held))
		}
		have := map[string]bool{}
		for _, r := range held {
			have[curate.Normalise(r.Messages[0].Content)] = true
		}
		for _, r := range train {
			if have[curate.Normalise(r.Messages[0].Content)] {
				t.Errorf("%v: %q is on both sides", h, r.Messages[0].Content)
			}
		}
	}
}

func FuzzOpenGolden(f *testing.F) {
	f.Add([]byte(`{"id":"1","prompt":"a?","target":"b"}`), []byte(`{"name":"x","locked":false,"history":[{"version":1,"at":"2026-01-01T00:00:00Z","author":"a","action":"new","items":0,"digest":"","prev":"","hash":""}]}`))
	f.Add([]byte(""), []byte("{}"))
	f.Add([]byte("{"), []byte("null"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, items, history []byte) {
		p := filepath.Join(dir, "g.jsonl")
		if os.WriteFile(p, items, 0o644) != nil || os.WriteFile(historyPath(p), history, 0o644) != nil {
			return
		}
		g, err := OpenGolden(p)
		if (g == nil) == (err == nil) {
			t.Errorf("set %v, error %v", g, err)
		}
	})
}
