package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dlm"
	"dlm/internal/testkit"
)

// bench is a graph of three stages over a store in memory, which records what
// ran.
type bench struct {
	*Graph
	ran     []string
	resumed []bool
	lr      string
	data    dlm.Digest
	text    string // content of the adapter
	fail    error  // what train returns
	hang    bool   // train waits for its context
	halt    bool   // gate says no
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{lr: "0.001", text: "weights"}
	b.Graph = &Graph{Store: testkit.NewMemory(t), State: t.TempDir(), Exclusive: true}
	b.data = b.put(t, dlm.KindDataset, "rows")
	b.build()
	return b
}

func (b *bench) put(t *testing.T, kind dlm.Kind, text string) dlm.Digest {
	t.Helper()
	p := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := b.Store.Put(context.Background(), dlm.Artifact{Kind: kind, Name: text}, p)
	if err != nil {
		t.Fatal(err)
	}
	return a.ID
}

func (b *bench) build() {
	stage := func(name string, kind dlm.Kind, text func() string) func(context.Context, *Job) ([]dlm.Artifact, error) {
		return func(ctx context.Context, j *Job) ([]dlm.Artifact, error) {
			b.ran, b.resumed = append(b.ran, name), append(b.resumed, j.Resumed)
			if name == "train" {
				if b.hang {
					os.WriteFile(filepath.Join(j.Dir, "checkpoint"), []byte("half"), 0o644)
					<-ctx.Done()
					return nil, ctx.Err()
				}
				if b.fail != nil {
					return nil, b.fail
				}
			}
			if err := j.Metric(ctx, "loss", 0.5); err != nil {
				return nil, err
			}
			p := filepath.Join(j.Dir, "out")
			if err := os.WriteFile(p, []byte(text()), 0o644); err != nil {
				return nil, err
			}
			a, err := j.Put(ctx, kind, name, 1, p)
			return []dlm.Artifact{a}, err
		}
	}
	b.Nodes = []Node{
		{Name: "train", Code: "v1", Params: map[string]string{"lr": b.lr, "rank": "16"}, Inputs: []Input{{Role: "data", ID: b.data}},
			Do: stage("train", dlm.KindAdapter, func() string { return b.text }),
			Estimate: func(context.Context, []dlm.Parent) (Estimate, error) {
				return Estimate{Seconds: 60, PeakBytes: 1 << 30}, nil
			}},
		{Name: "eval", Params: map[string]string{"metric": "exact"}, Inputs: []Input{{Role: "adapter", From: "train", Kind: dlm.KindAdapter}},
			Do: stage("eval", dlm.KindReport, func() string { return "report of " + b.text })},
		{Name: "gate", Inputs: []Input{{Role: "report", From: "eval", Kind: dlm.KindReport}},
			Do: stage("gate", dlm.KindVerdict, func() string { return "verdict on " + b.text }),
			After: func(context.Context, []dlm.Artifact) error {
				if b.halt {
					return &Halt{Code: 3, Reason: "fail"}
				}
				return nil
			}},
		{Name: "promote", Inputs: []Input{{Role: "verdict", From: "gate"}},
			Do: func(context.Context, *Job) ([]dlm.Artifact, error) { b.ran = append(b.ran, "promote"); return nil, nil }},
	}
}

// run runs the graph and returns the stages that ran.
func (b *bench) run(t *testing.T) ([]Step, string, error) {
	t.Helper()
	b.ran, b.resumed = nil, nil
	b.build()
	steps, err := b.Run(context.Background())
	return steps, strings.Join(b.ran, " "), err
}

func reasons(steps []Step) string {
	var s []string
	for _, st := range steps {
		s = append(s, st.Stage+" "+string(st.Action)+": "+st.Reason)
	}
	return strings.Join(s, "\n")
}

func TestGraphRunsWhatChanged(t *testing.T) {
	b := newBench(t)
	steps, ran, err := b.run(t)
	if err != nil || ran != "train eval gate promote" || steps[0].Reason != "has not run yet" {
		t.Fatalf("first: %s, %v\n%s", ran, err, reasons(steps))
	}
	trainRun := steps[0].Run

	steps, ran, err = b.run(t)
	if err != nil || ran != "" || steps[0].Action != ActionSkip || steps[0].Reason != "skipped: same data and settings as run "+trainRun {
		t.Errorf("again: %q, %v\n%s", ran, err, reasons(steps))
	}

	b.lr, b.text = "0.0001", "other weights"
	plan, err := b.planned()
	if err != nil || plan[0].Reason != "lr 0.001 -> 0.0001" || plan[0].Estimate == nil || plan[1].Reason != "follows train" || plan[3].Reason != "follows gate" {
		t.Errorf("plan: %v\n%s", err, reasons(plan))
	}
	steps, ran, err = b.run(t)
	if err != nil || ran != "train eval gate promote" || steps[0].Reason != "lr 0.001 -> 0.0001" || !strings.HasPrefix(steps[1].Reason, "adapter ") {
		t.Errorf("new setting: %s, %v\n%s", ran, err, reasons(steps))
	}

	// Back to the first setting: the first run still stands.
	b.lr, b.text = "0.001", "weights"
	steps, ran, err = b.run(t)
	if err != nil || ran != "" || steps[0].Run != trainRun {
		t.Errorf("back again: %s, %v\n%s", ran, err, reasons(steps))
	}

	// Another setting that makes the same adapter: what follows is skipped.
	b.lr = "0.5"
	if steps, ran, err = b.run(t); err != nil || ran != "train" {
		t.Errorf("same adapter another way: %s, %v\n%s", ran, err, reasons(steps))
	}

	b.data = b.put(t, dlm.KindDataset, "more rows")
	b.text = "third"
	if steps, ran, err = b.run(t); err != nil || ran != "train eval gate promote" || !strings.HasPrefix(steps[0].Reason, "data ") {
		t.Errorf("new data: %s, %v\n%s", ran, err, reasons(steps))
	}
}

func (b *bench) planned() ([]Step, error) {
	b.build()
	return b.Plan(context.Background())
}

func TestGraphPlanRunsNothing(t *testing.T) {
	b := newBench(t)
	if _, err := b.planned(); err != nil || len(b.ran) != 0 {
		t.Errorf("ran %v, %v", b.ran, err)
	}
	if runs, _ := b.Store.Runs(context.Background()); len(runs) != 0 {
		t.Errorf("recorded %d runs", len(runs))
	}
}

func TestGraphFailureIsResumed(t *testing.T) {
	b := newBench(t)
	b.fail = errors.New("no space left\nsecond line")
	steps, ran, err := b.run(t)
	if err == nil || ran != "train" || !strings.Contains(err.Error(), "train: no space left") || len(steps) != 1 {
		t.Fatalf("%s, %v", ran, err)
	}
	r, _ := b.Store.Run(context.Background(), steps[0].Run)
	if r.Status != dlm.RunFailed || r.Error == "" || r.Ended.IsZero() {
		t.Errorf("recorded %+v", r)
	}
	b.fail = nil
	steps, ran, err = b.run(t)
	if err != nil || ran != "train eval gate promote" || steps[0].Action != ActionResume || !strings.Contains(steps[0].Reason, "failed (no space left)") || steps[0].Run != r.ID || !b.resumed[0] {
		t.Errorf("%s, %v\n%s", ran, err, reasons(steps))
	}
	if r, _ = b.Store.Run(context.Background(), r.ID); r.Status != dlm.RunDone || r.Error != "" || len(r.Outputs) != 1 {
		t.Errorf("afterwards %+v", r)
	}
}

func TestGraphStopAndResume(t *testing.T) {
	b := newBench(t)
	b.hang = true
	type result struct {
		steps []Step
		err   error
	}
	done := make(chan result, 1)
	b.build()
	go func() {
		steps, err := b.Run(context.Background())
		done <- result{steps, err}
	}()
	ctx := context.Background()
	var id string
	for end := time.Now().Add(10 * time.Second); id == ""; time.Sleep(5 * time.Millisecond) {
		if runs, _ := b.Store.Runs(ctx); len(runs) == 1 && runs[0].Dir != "" {
			if _, err := os.Stat(filepath.Join(RunDir(b.State, runs[0]), "checkpoint")); err == nil {
				id = runs[0].ID
			}
		}
		if time.Now().After(end) {
			t.Fatal("train did not begin")
		}
	}
	r, err := StopRun(ctx, b.Store, b.State, id, 10*time.Second)
	if err != nil || r.Status != dlm.RunStopped {
		t.Errorf("stop: %s, %v", r.Status, err)
	}
	if res := <-done; !errors.Is(res.err, ErrStopped) || len(res.steps) != 1 {
		t.Errorf("run: %v", res.err)
	}
	if _, err := Resumable(ctx, b.Store, id); err != nil {
		t.Error(err)
	}
	if _, err := StopRun(ctx, b.Store, b.State, id, time.Second); err == nil {
		t.Error("a stopped run was stopped again")
	}
	b.hang = false
	steps, ran, err := b.run(t)
	if err != nil || ran != "train eval gate promote" || steps[0].Run != id || !strings.Contains(steps[0].Reason, "was stopped") || !b.resumed[0] {
		t.Errorf("resume: %s, %v\n%s", ran, err, reasons(steps))
	}
	if _, err := Resumable(ctx, b.Store, id); err == nil {
		t.Error("a run that is done can be resumed")
	}
}

func TestGraphCancelled(t *testing.T) {
	b := newBench(t)
	b.hang = true
	b.build()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := b.Run(ctx)
	if !errors.Is(err, ErrStopped) {
		t.Errorf("%v", err)
	}
	if runs, _ := b.Store.Runs(context.Background()); len(runs) != 1 || runs[0].Status != dlm.RunStopped {
		t.Errorf("%+v", runs)
	}
}

func TestGraphCutOffRun(t *testing.T) {
	b := newBench(t)
	b.build()
	ctx := context.Background()
	n := b.Nodes[0]
	in := []dlm.Parent{{Role: "data", ID: b.data}}
	for _, status := range []dlm.RunStatus{dlm.RunCancelled, dlm.RunRunning} {
		b := newBench(t)
		b.build()
		r, err := b.Store.BeginRun(ctx, dlm.Run{Stage: "train", Status: status, Inputs: in, Key: Key("train", n.Code, n.Params, in), Dir: "runs/x"})
		if err != nil {
			t.Fatal(err)
		}
		steps, _, err := b.run(t)
		if err != nil || steps[0].Run != r.ID || steps[0].Action != ActionResume || !strings.Contains(steps[0].Reason, "cut off") {
			t.Errorf("%s: %v\n%s", status, err, reasons(steps))
		}
	}
	// Without the project's lock a running run may be alive: hands off.
	b = newBench(t)
	b.Exclusive = false
	if _, err := b.Store.BeginRun(ctx, dlm.Run{Stage: "train", Inputs: in, Key: Key("train", n.Code, n.Params, in), Dir: "runs/x"}); err != nil {
		t.Fatal(err)
	}
	if plan, err := b.planned(); err != nil || !strings.Contains(plan[0].Reason, "is at it now") {
		t.Errorf("%v\n%s", err, reasons(plan))
	}
	if _, ran, err := b.run(t); err == nil || ran != "" || !strings.Contains(err.Error(), "dlm runs stop") {
		t.Errorf("%s, %v", ran, err)
	}
}

func TestGraphHalt(t *testing.T) {
	b := newBench(t)
	b.halt = true
	steps, ran, err := b.run(t)
	var h *Halt
	if !errors.As(err, &h) || h.Code != 3 || h.Stage != "gate" || ran != "train eval gate" || len(steps) != 3 {
		t.Fatalf("%s, %v", ran, err)
	}
	// Nothing is done again, and the answer is still no.
	steps, ran, err = b.run(t)
	if !errors.As(err, &h) || ran != "" || steps[2].Action != ActionSkip {
		t.Errorf("again: %s, %v", ran, err)
	}
	plan, err := b.planned()
	if err != nil || len(plan) != 4 || plan[3].Action != ActionBlock || plan[3].Reason != "not reached: gate: fail" {
		t.Errorf("plan: %v\n%s", err, reasons(plan))
	}
}

func TestGraphShapeIsChecked(t *testing.T) {
	for name, nodes := range map[string][]Node{
		"twice":   {{Name: "a"}, {Name: "a"}},
		"later":   {{Name: "a", Inputs: []Input{{Role: "x", From: "b"}}}, {Name: "b"}},
		"nothing": {{Name: "a", Inputs: []Input{{Role: "x"}}}},
	} {
		g := Graph{Store: testkit.NewMemory(t), State: t.TempDir(), Nodes: nodes}
		if _, err := g.Plan(context.Background()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestGraphUpToDate(t *testing.T) {
	b := newBench(t)
	b.build()
	at := ""
	b.Nodes = append(b.Nodes[:3:3], Node{Name: "promote", Inputs: []Input{{Role: "adapter", From: "train"}},
		UpToDate: func(_ context.Context, in []dlm.Parent) (bool, string, error) {
			if at == string(in[0].ID) {
				return true, "prod points there already", nil
			}
			return false, "prod points elsewhere", nil
		},
		Do: func(ctx context.Context, j *Job) ([]dlm.Artifact, error) {
			b.ran = append(b.ran, "promote")
			a, err := j.Input(ctx, "adapter")
			at = string(a.ID)
			return nil, err
		}})
	for i, want := range []string{"train eval gate promote", ""} {
		b.ran = nil
		if _, err := b.Run(context.Background()); err != nil || strings.Join(b.ran, " ") != want {
			t.Errorf("%d: ran %v, %v", i, b.ran, err)
		}
	}
	at = "rolled back"
	b.ran = nil
	if _, err := b.Run(context.Background()); err != nil || strings.Join(b.ran, " ") != "promote" {
		t.Errorf("ran %v, %v", b.ran, err)
	}
}

func TestKey(t *testing.T) {
	id := func(n int) dlm.Digest { return dlm.Digest(fmt.Sprintf("sha256:%064d", n)) }
	key := Key("train", "v1", map[string]string{"a": "1", "b": "2"}, []dlm.Parent{{Role: "x", ID: id(1)}, {Role: "y", ID: id(2)}})
	if k := Key("train", "v1", map[string]string{"b": "2", "a": "1"}, []dlm.Parent{{Role: "y", ID: id(2)}, {Role: "x", ID: id(1)}}); k != key {
		t.Error("the order matters")
	}
	for name, k := range map[string]dlm.Digest{
		"stage": Key("eval", "v1", map[string]string{"a": "1", "b": "2"}, []dlm.Parent{{Role: "x", ID: id(1)}, {Role: "y", ID: id(2)}}),
		"code":  Key("train", "v2", map[string]string{"a": "1", "b": "2"}, []dlm.Parent{{Role: "x", ID: id(1)}, {Role: "y", ID: id(2)}}),
		"value": Key("train", "v1", map[string]string{"a": "1", "b": "3"}, []dlm.Parent{{Role: "x", ID: id(1)}, {Role: "y", ID: id(2)}}),
		"split": Key("train", "v1", map[string]string{"a": "1\" \"b", "": "2"}, []dlm.Parent{{Role: "x", ID: id(1)}, {Role: "y", ID: id(2)}}),
		"roles": Key("train", "v1", map[string]string{"a": "1", "b": "2"}, []dlm.Parent{{Role: "y", ID: id(1)}, {Role: "x", ID: id(2)}}),
	} {
		if k == key {
			t.Errorf("another %s gives the same key", name)
		}
	}
}

func TestLineage(t *testing.T) {
	b := newBench(t)
	steps, _, err := b.run(t)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	adapter, verdict := steps[0].Outputs[0], steps[2].Outputs[0]
	if err := b.Store.SetAlias(ctx, dlm.AliasChange{Alias: "prod", Adapter: adapter, Why: "promote"}); err != nil {
		t.Fatal(err)
	}
	l, err := Trace(ctx, b.Store, verdict)
	if err != nil {
		t.Fatal(err)
	}
	tree := l.Tree()
	for _, want := range []string{"verdict " + verdict.Short(), "└─ report", "adapter " + adapter.Short(), "[prod]", "data: dataset", "lr=0.001", "run " + steps[0].Run} {
		if !strings.Contains(tree, want) {
			t.Errorf("no %q in\n%s", want, tree)
		}
	}
}

func TestCompareRuns(t *testing.T) {
	b := newBench(t)
	one, _, err := b.run(t)
	if err != nil {
		t.Fatal(err)
	}
	b.lr = "0.1"
	two, _, err := b.run(t)
	if err != nil {
		t.Fatal(err)
	}
	c, err := CompareRuns(context.Background(), b.Store, one[0].Run, two[0].Run)
	if err != nil || len(c.Changes) != 1 || c.Changes[0].String() != "lr 0.001 -> 0.1" || len(c.Metrics) != 1 || *c.Metrics[0].A != 0.5 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := CompareRuns(context.Background(), b.Store, one[0].Run, one[1].Run); err == nil {
		t.Error("runs of two stages were compared")
	}
}
