package native

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"dlm"
	"dlm/engine/lora"
	"dlm/engine/model"
)

// trainLogProbs computes log-probabilities of the masked tokens as a training
// step does.
func trainLogProbs(t *testing.T, n *Native, dir string, e dlm.Encoded) []float32 {
	t.Helper()
	a, err := lora.Load(dir, n.m, n.id)
	if err != nil {
		t.Fatal(err)
	}
	var targets []model.Target
	for i, m := range e.Mask {
		if m {
			targets = append(targets, model.Target{Row: i - 1, ID: e.IDs[i]})
		}
	}
	p := n.m.NewPass(len(e.IDs), a.Rank(), true)
	if err := p.Forward([]model.Segment{{IDs: e.IDs, Adapter: a}}); err != nil {
		t.Fatal(err)
	}
	out := make([]float32, len(targets))
	p.LogProbs(out, targets)
	return out
}

func answer(t *testing.T, n *Native, adapter string) string {
	t.Helper()
	out, err := n.Generate(context.Background(), []dlm.GenerateRequest{{Raw: "Hello there", Adapter: adapter, Sampling: dlm.Sampling{MaxTokens: 12}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out[0].Text
}

func TestAdaptersFailClosed(t *testing.T) {
	n := open(t, "llama-tied", Options{})
	base := answer(t, n, "")
	good := bound(t, n, 4, false)
	if answer(t, n, good) == base {
		t.Error("the adapter answers as the base")
	}
	if zero := bound(t, n, 4, true); answer(t, n, zero) != base {
		t.Error("an adapter whose B is zero does not answer as the base")
	}
	for what, change := range map[string]func(dir string){
		"a base of another hash": func(dir string) {
			id := n.id
			id.BaseHash = "sha256:0000"
			resave(t, n, good, dir, id)
		},
		"another template": func(dir string) {
			id := n.id
			id.TemplateHash = "other"
			resave(t, n, good, dir, id)
		},
		"no identity": func(dir string) { os.Remove(filepath.Join(dir, lora.IdentityFile)) },
		"no weights":  func(dir string) { os.Remove(filepath.Join(dir, lora.WeightsFile)) },
		"weights cut short": func(dir string) {
			path := filepath.Join(dir, lora.WeightsFile)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, info.Size()/2); err != nil {
				t.Fatal(err)
			}
		},
	} {
		dir := filepath.Join(t.TempDir(), "changed")
		resave(t, n, good, dir, n.id)
		change(dir)
		_, err := n.Generate(context.Background(), []dlm.GenerateRequest{{Raw: "Hello", Adapter: dir, Sampling: dlm.Sampling{MaxTokens: 1}}}, nil)
		if err == nil {
			t.Errorf("an adapter with %s was served", what)
		}
	}
}

// TestProbeMustMove: an adapter whose B is not zero but which moves nothing is
// refused, not served as the base.
func TestProbeMustMove(t *testing.T) {
	n := open(t, "llama-tied", Options{})
	a, err := lora.Load(bound(t, n, 4, false), n.m, n.id)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range a.Params() {
		for i := range p.Value {
			p.Value[i] *= 1e-12
		}
	}
	a.Repack(n.x)
	dir := filepath.Join(t.TempDir(), "still")
	if err := a.Save(dir, n.id); err != nil {
		t.Fatal(err)
	}
	wants(t, n.CheckAdapter(dir), "probe", dir)
}

// resave copies an adapter to dir under another identity.
func resave(t *testing.T, n *Native, from, dir string, id lora.BaseIdentity) {
	t.Helper()
	a, err := lora.Load(from, n.m, n.id)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Save(dir, id); err != nil {
		t.Fatal(err)
	}
}

// TestChangedFolderIsReadAgain: training into the same folder must not leave
// the old adapter served.
func TestChangedFolderIsReadAgain(t *testing.T) {
	n := open(t, "llama-tied", Options{})
	one, two := bound(t, n, 4, false), bound(t, n, 2, false)
	if err := n.CheckAdapter(one); err != nil {
		t.Fatal(err)
	}
	first := n.shelf.held[one].a
	if err := n.CheckAdapter(one); err != nil || n.shelf.held[one].a != first {
		t.Errorf("an unchanged folder was read again (%v)", err)
	}
	want := answer(t, n, two)
	if err := os.RemoveAll(one); err != nil {
		t.Fatal(err)
	}
	resave(t, n, two, one, n.id)
	if got := answer(t, n, one); got != want {
		t.Errorf("the changed folder answers %q, expected %q", got, want)
	}
}

// TestForeignAdapter: a folder made by PEFT is refused until it is bound.
func TestForeignAdapter(t *testing.T) {
	n := open(t, "llama-tied", Options{Precision: "f32"})
	foreign := filepath.Join(tinyDir, "llama-tied", "adapter")
	wants(t, n.CheckAdapter(foreign), "bind")
	out := filepath.Join(t.TempDir(), "bound")
	if err := n.ImportAdapter(foreign, out); err != nil {
		t.Fatal(err)
	}
	if err := n.CheckAdapter(out); err != nil {
		t.Fatal(err)
	}
}

// TestProbeTravels: a folder that this package wrote holds the probe that the
// adapter gives, and a base's probe is the same without it.
func TestProbeTravels(t *testing.T) {
	n := open(t, "llama-tied", Options{})
	out := filepath.Join(t.TempDir(), "bound")
	if err := n.ImportAdapter(filepath.Join(tinyDir, "llama-tied", "adapter"), out); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(out, dlm.ProbeFile))
	if err != nil {
		t.Fatal(err)
	}
	stored, err := dlm.ParseProbe(raw)
	if err != nil {
		t.Fatal(err)
	}
	computed, err := n.Probe(out)
	if err != nil || !reflect.DeepEqual(stored, computed) {
		t.Errorf("stored %+v, computed %+v (%v)", stored, computed, err)
	}
	base, err := n.Probe("")
	if err != nil || !reflect.DeepEqual(base.Base, stored.Base) || len(base.Adapter) > 0 {
		t.Errorf("the base's probe %+v is not that of the adapter's folder (%v)", base, err)
	}
	if stored.Zero || stored.Moved() == 0 {
		t.Errorf("the adapter moves its probe by %v, zero is %v", stored.Moved(), stored.Zero)
	}
	// What the probe says is what serving scores.
	scored, err := n.Score(context.Background(), []dlm.ScoreRequest{{Messages: []dlm.Message{{Role: "user", Content: probePrompt}}, Completion: probeCompletion, EndOfTurn: true, Adapter: out}})
	if err != nil {
		t.Fatal(err)
	}
	last := stored.Adapter[len(stored.Adapter)-len(scored[0].Tokens):]
	for i, tok := range scored[0].Tokens {
		if tok.LogProb != last[i] {
			t.Errorf("token %d: scored %v, in the probe %v", i, tok.LogProb, last[i])
		}
	}
	if zero, err := n.Probe(bound(t, n, 4, true)); err != nil || !zero.Zero || zero.Moved() != 0 {
		t.Errorf("an adapter of zeros has the probe %+v (%v)", zero, err)
	}
}
