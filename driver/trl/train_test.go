//go:build unix

package trl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dlm"
)

// words is an encoder that makes an id of each byte, and trains the completion.
type words struct{}

func (words) Encode(r dlm.Row, _ int) (dlm.Encoded, error) {
	var e dlm.Encoded
	if len(r.Messages) == 0 {
		return e, errors.New(r.Where(0) + ": no messages")
	}
	for i, m := range r.Messages {
		for _, c := range []byte(m.Content + ";") {
			e.IDs, e.Mask = append(e.IDs, int32(c)), append(e.Mask, m.Role == "assistant" && i >= r.TrainFrom)
		}
	}
	e.EndOfTurn = ';'
	return e, nil
}
func (words) Render([]dlm.Message, bool) (string, error) { return "", nil }
func (words) Tokenize(string, bool) []dlm.Token          { return nil }
func (words) Piece(int32) string                         { return "" }
func (words) Prompt(msgs []dlm.Message, _ string) ([]int32, error) {
	return []int32{1, int32(len(msgs))}, nil
}
func (words) Completed([]dlm.Message, string, string, bool) ([]int32, int, error) { return nil, 0, nil }
func (words) Spell([]string) dlm.TextStream                                       { return nil }
func (words) Bytes(int32) []byte                                                  { return nil }
func (words) StopIDs() []int32                                                    { return []int32{';'} }
func (words) Context() int                                                        { return 100 }

// inOrder is an order without shuffling.
func inOrder(n, batch int, _ uint64, _ bool) func(int) []int {
	return func(s int) []int {
		from := s * batch % n
		var out []int
		for i := from; i < min(n, from+batch); i++ {
			out = append(out, i)
		}
		return out
	}
}

// trainer is a TRL whose program is the test binary, in a given mood.
func trainer(t *testing.T, how string, change ...func(*Options)) *TRL {
	t.Helper()
	t.Setenv(fakeVar, how)
	o := Options{
		Encoder: words{}, Order: inOrder, Place: NewLocal(), Python: os.Args[0], Pad: -1, PollEvery: 5 * time.Millisecond,
		Base: func(context.Context) (string, error) { return "testdata/base", nil }, Device: Device{Name: "cpu", Bytes: 8 << 30},
		Bind: func(dir, out string) error {
			raw, err := os.ReadFile(filepath.Join(dir, "adapter_model.safetensors"))
			if err != nil {
				return err
			}
			return errors.Join(os.MkdirAll(out, 0o755), os.WriteFile(filepath.Join(out, "bound"), raw, 0o644))
		},
	}
	for _, c := range change {
		c(&o)
	}
	tr, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// job is eight rows in four steps of two, twice.
func job(t *testing.T) dlm.TrainJob {
	t.Helper()
	dir := t.TempDir()
	j := dlm.TrainJob{Recipe: dlm.Recipe{Rank: 4, Alpha: 8, Epochs: 2, BatchSize: 2, LR: 1e-3},
		Dir: filepath.Join(dir, "work"), Out: filepath.Join(dir, "adapter"), Samples: [][]dlm.Message{{{Role: "user", Content: "s"}}}}
	for i := range 8 {
		j.Rows = append(j.Rows, dlm.Row{ID: fmt.Sprint("r", i), Messages: []dlm.Message{{Role: "user", Content: "q"}, {Role: "assistant", Content: fmt.Sprint(i)}}})
	}
	j.Held = j.Rows[:1]
	t.Cleanup(func() { endChildren(j) })
	return j
}

// endChildren ends what a failing test leaves behind.
func endChildren(j dlm.TrainJob) {
	b := Bundle{Dir: filepath.Join(j.Dir, BundleDir)}
	if alive, err := running(b); err == nil && alive {
		_ = NewLocal().Kill(context.Background(), b)
	}
}

func starts(t *testing.T, j dlm.TrainJob) int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(j.Dir, BundleDir, "starts"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(raw), "\n")
}

// events counts kinds and keeps the steps.
type events struct {
	kinds map[string]int
	steps []int
	notes string
}

func (e *events) take(x dlm.TrainEvent) {
	if e.kinds == nil {
		e.kinds = map[string]int{}
	}
	e.kinds[x.Kind]++
	if x.Kind == "step" {
		e.steps = append(e.steps, x.Step)
	}
	if x.Kind == "note" {
		e.notes += x.Text + "\n"
	}
}

func TestTrain(t *testing.T) {
	tr, j := trainer(t, "plain"), job(t)
	var ev events
	r, err := tr.Train(t.Context(), j, ev.take)
	if err != nil {
		t.Fatal(err)
	}
	if r.Dir != j.Out || r.Steps != 8 || r.Loss != 0.5 || r.EvalLoss != 0.6 || r.BestStep != 2 || r.Tokens != 100 || r.PeakBytes != 1<<20 || r.Resumed != 0 {
		t.Errorf("result %+v", r)
	}
	if r.Made["trainer"] != "trl" || r.Made["trl"] != "1.0" || r.Made["device"] != "cpu" || r.Made["where"] != "this machine" {
		t.Errorf("made by %v", r.Made)
	}
	if len(ev.steps) != 8 || ev.kinds["checkpoint"] != 4 || !strings.Contains(ev.notes, "trl 1.0") {
		t.Errorf("events %+v", ev)
	}
	if raw, err := os.ReadFile(filepath.Join(j.Out, "bound")); err != nil || string(raw) != "weights" {
		t.Errorf("the adapter holds %q, %v", raw, err)
	}

	// A finished job is not run again, but its adapter is written again.
	os.RemoveAll(j.Out)
	ev = events{}
	if _, err := tr.Train(t.Context(), j, ev.take); err != nil || len(ev.steps) > 0 || starts(t, j) != 1 {
		t.Errorf("again: %v, steps %v, %d programs", err, ev.steps, starts(t, j))
	}
	if _, err := os.Stat(filepath.Join(j.Out, "bound")); err != nil {
		t.Error(err)
	}
}

func TestBundle(t *testing.T) {
	tr := trainer(t, "plain", func(o *Options) {
		o.Init = func(r dlm.Recipe, dir string) error {
			return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "adapter_config.json"), []byte(fmt.Sprint(r.Rank)), 0o644),
				os.WriteFile(filepath.Join(dir, "adapter_model.safetensors"), []byte("A"), 0o644))
		}
		o.Pad, o.Quantize = 7, "nf4"
	})
	j := job(t)
	if _, err := tr.Train(t.Context(), j, nil); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		RowsFile:    `{"id":"r0","ids":[113,59,48,59],"mask":[0,0,1,1]}` + "\n" + `{"id":"r1"`,
		HeldFile:    `{"id":"r0","ids":[113,59,48,59],"mask":[0,0,1,1]}` + "\n",
		OrderFile:   "[0,1]\n[2,3]\n[4,5]\n[6,7]\n[0,1]\n",
		SamplesFile: `{"prompt_ids":[1,1]}` + "\n",
	} {
		if raw, err := os.ReadFile(filepath.Join(j.Dir, BundleDir, name)); err != nil || !strings.HasPrefix(string(raw), want) {
			t.Errorf("%s: %q, %v", name, raw, err)
		}
	}
	var got Job
	raw, err := os.ReadFile(filepath.Join(j.Dir, BundleDir, JobFile))
	if err != nil || json.Unmarshal(raw, &got) != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(got.Base) || got.Steps != 8 || got.Init != InitDir || got.Quantize != "nf4" || got.EndOfTurn != ';' || got.Pad != 7 || len(got.Check) != 8 ||
		got.Check[1].Messages[1].Content != "1" || got.Recipe.Method != "sft" || len(got.Recipe.TargetModules) != 7 {
		t.Errorf("job %+v", got)
	}
}

func TestPlan(t *testing.T) {
	tr, j := trainer(t, "plain"), job(t)
	p, err := tr.Plan(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	// Rows of four tokens, two of them in the loss; rank 4 on seven projections of two layers.
	if p.Examples != 8 || p.Steps != 8 || p.Tokens != 64 || p.LossTokens != 32 || p.MicroTokens != 8 || p.Layers != 2 || p.Parameters != 2*4*(2*128+2*96+3*192) {
		t.Errorf("plan %+v", p)
	}
	if p.PeakBytes <= 0 || p.Bytes["weights"] <= 0 || !strings.Contains(p.Device, "cpu") || p.DeviceBytes != 8<<30 {
		t.Errorf("plan %+v", p)
	}
	small := trainer(t, "plain", func(o *Options) { o.Device.Bytes = 1 << 20 })
	var none *NoFit
	if _, err := small.Plan(t.Context(), j); !errors.As(err, &none) {
		t.Errorf("error %v", err)
	}
	if _, err := small.Train(t.Context(), j, nil); !errors.As(err, &none) {
		t.Errorf("error %v", err)
	}
}

// A job that changed is refused; how its steps are cut may change, and
// whether TRL's ids are compared.
func TestAnotherJob(t *testing.T) {
	j := job(t)
	if _, err := trainer(t, "dies").Train(t.Context(), j, nil); err == nil {
		t.Fatal("no error")
	}
	tr := trainer(t, "plain")
	for words, change := range map[string]func(*dlm.TrainJob){
		"recipe.lr is 0.002, was 0.001":   func(j *dlm.TrainJob) { j.Recipe.LR = 2e-3 },
		"rows.jsonl has other content":    func(j *dlm.TrainJob) { j.Rows = j.Rows[:7] },
		"order.jsonl has other content":   func(j *dlm.TrainJob) { j.Recipe.MaxSteps = 9 },
		"held.jsonl has other content":    func(j *dlm.TrainJob) { j.Held = nil },
		"recipe.seed is 4, was 0":         func(j *dlm.TrainJob) { j.Recipe.Seed = 4 },
		"samples.jsonl has other content": func(j *dlm.TrainJob) { j.Samples = nil },
	} {
		other := j
		change(&other)
		if _, err := tr.Train(t.Context(), other, nil); err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "another folder") {
			t.Errorf("error %v, expected %q", err, words)
		}
	}
	if n := starts(t, j); n != 1 {
		t.Errorf("%d programs were started", n)
	}
	j.Recipe.MicroBatch = 1
	r, err := trainer(t, "plain", func(o *Options) { o.OwnIDs = true }).Train(t.Context(), j, nil)
	if err != nil || r.Resumed != 2 {
		t.Errorf("resumed from %d, %v", r.Resumed, err)
	}
	raw, err := os.ReadFile(filepath.Join(j.Dir, BundleDir, JobFile))
	if err != nil || strings.Contains(string(raw), `"check"`) {
		t.Errorf("trl.ids: ours, and rows are still compared: %s, %v", raw, err)
	}
	for _, name := range programFiles {
		if !exists(filepath.Join(j.Dir, BundleDir, name)) {
			t.Errorf("%s is not in the bundle", name)
		}
	}
}
