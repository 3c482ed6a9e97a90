package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"dlm"
)

// Trainer is the conformance suite of dlm.Trainer. The base must be small enough
// to be trained in seconds. It must also generate, to see what was learned.
func Trainer(t *testing.T, tr dlm.Trainer, g dlm.Generator) {
	for _, c := range []struct {
		name string
		test func(*testing.T, dlm.Trainer, dlm.Generator)
	}{
		{"the plan counts", trainPlan},
		{"training learns, and the adapter serves", trainLearns},
		{"cut off and resumed is as never cut", trainResumes},
		{"a finished job is not run again", trainAgain},
		{"refusals name the row or the field", trainRefuses},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, tr, g) })
	}
}

// trainJob teaches four fixed answers.
func trainJob(t *testing.T) dlm.TrainJob {
	t.Helper()
	dir := t.TempDir()
	job := dlm.TrainJob{
		Recipe: dlm.Recipe{
			Method: "sft", Rank: 4, Alpha: 8, Epochs: 3, BatchSize: 4, LR: 2e-2, Schedule: "constant",
			ClipNorm: 1, Seed: 11, Shuffle: true, Packing: true, KeepBest: true,
		},
		Dir: filepath.Join(dir, "work"), Out: filepath.Join(dir, "adapter"),
	}
	for i, word := range []string{"red", "blue", "green", "black"} {
		for k := range 3 {
			job.Rows = append(job.Rows, dlm.Row{
				ID:       fmt.Sprintf("%s-%d", word, k),
				Messages: []dlm.Message{{Role: "user", Content: fmt.Sprintf("Colour %d, time %d?", i, k)}, {Role: "assistant", Content: word}},
				File:     "rows.jsonl", Line: 3*i + k + 1,
			})
		}
	}
	job.Held = job.Rows[:2]
	return job
}

func trainPlan(t *testing.T, tr dlm.Trainer, _ dlm.Generator) {
	job := trainJob(t)
	p, err := tr.Plan(context.Background(), job)
	if err != nil {
		t.Fatal(err)
	}
	if p.Steps != 9 || p.Examples != 12 || p.LossTokens <= 0 || p.Tokens <= p.LossTokens || p.Parameters <= 0 || p.MicroTokens <= 0 {
		t.Errorf("plan of 3 epochs over 12 rows in batches of 4: %+v", p)
	}
	sum := int64(0)
	for use, b := range p.Bytes {
		if b < 0 {
			t.Errorf("%s takes %d bytes", use, b)
		}
		sum += b
	}
	if p.PeakBytes <= 0 || p.PeakBytes > sum {
		t.Errorf("peak of %d bytes, all uses together take %d", p.PeakBytes, sum)
	}
	if _, err := os.Stat(job.Out); err == nil {
		t.Error("planning wrote an adapter")
	}
}

func trainLearns(t *testing.T, tr dlm.Trainer, g dlm.Generator) {
	job := trainJob(t)
	job.Recipe.Epochs = 12
	job.Samples = [][]dlm.Message{job.Rows[0].Prompt(), job.Rows[3].Prompt()}
	var losses []float64
	kinds := map[string]int{}
	last := 0
	res, err := tr.Train(context.Background(), job, func(e dlm.TrainEvent) {
		kinds[e.Kind]++
		if e.Step < last || e.Steps != 36 {
			t.Errorf("event %q of step %d of %d after step %d", e.Kind, e.Step, e.Steps, last)
		}
		last = e.Step
		if e.Kind == "step" {
			losses = append(losses, e.Loss)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(losses) != 36 || kinds["eval"] == 0 || kinds["sample"] < 2 || kinds["checkpoint"] == 0 {
		t.Errorf("events: %v", kinds)
	}
	if !(losses[35] < losses[0]/2) || res.EvalLoss <= 0 || res.Steps != 36 || res.Resumed != 0 {
		t.Errorf("loss went from %v to %v; result %+v", losses[0], losses[35], res)
	}
	if res.Dir != job.Out {
		t.Errorf("the adapter is in %q, expected %q", res.Dir, job.Out)
	}
	learned := 0
	for _, r := range job.Rows {
		c := generate(t, g, dlm.GenerateRequest{Messages: r.Prompt(), Adapter: res.Dir, Sampling: dlm.Sampling{MaxTokens: 12}})[0]
		if c.Text == r.Completion() && c.Finish == "stop" {
			learned++
		}
	}
	if learned < len(job.Rows)/2 {
		t.Errorf("the adapter answers %d of %d training rows as taught", learned, len(job.Rows))
	}
}

func trainResumes(t *testing.T, tr dlm.Trainer, _ dlm.Generator) {
	whole, cut := trainJob(t), trainJob(t)
	if _, err := tr.Train(context.Background(), whole, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err := tr.Train(ctx, cut, func(e dlm.TrainEvent) {
		if e.Kind == "step" && e.Step == 4 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled at step 4: error %v", err)
	}
	if _, err := os.Stat(cut.Out); err == nil {
		t.Error("a cancelled run wrote an adapter")
	}
	res, err := tr.Train(context.Background(), cut, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Resumed < 4 {
		t.Errorf("resumed from step %d, expected 4 or later", res.Resumed)
	}
	sameFolder(t, cut.Out, whole.Out)
}

func trainAgain(t *testing.T, tr dlm.Trainer, _ dlm.Generator) {
	job := trainJob(t)
	job.Recipe.MaxSteps = 2
	if _, err := tr.Train(context.Background(), job, nil); err != nil {
		t.Fatal(err)
	}
	steps := 0
	if _, err := tr.Train(context.Background(), job, func(e dlm.TrainEvent) {
		if e.Kind == "step" {
			steps++
		}
	}); err != nil {
		t.Fatal(err)
	}
	if steps > 0 {
		t.Errorf("a finished job made %d steps more", steps)
	}
}

func trainRefuses(t *testing.T, tr dlm.Trainer, _ dlm.Generator) {
	for _, c := range []struct {
		words  []string
		change func(*dlm.TrainJob)
	}{
		{[]string{"method", "nonsense"}, func(j *dlm.TrainJob) { j.Recipe.Method = "nonsense" }},
		{[]string{"rank"}, func(j *dlm.TrainJob) { j.Recipe.Rank = -1 }},
		{[]string{"zz_proj"}, func(j *dlm.TrainJob) { j.Recipe.TargetModules = []string{"zz_proj"} }},
		{[]string{"rows.jsonl:3", "truncate"}, func(j *dlm.TrainJob) {
			j.Rows[2].Messages[1].Content += " and a very long answer that goes on, on and on, and further than the forty tokens that a row may have here, so that it must be cut"
			j.Recipe.MaxLen = 60
		}},
		{[]string{"no training"}, func(j *dlm.TrainJob) { j.Rows = nil }},
		{[]string{"rows.jsonl:2"}, func(j *dlm.TrainJob) { j.Rows[1].Messages = nil }},
		{[]string{"red-1", "mask"}, func(j *dlm.TrainJob) { j.Rows[1].TrainFrom = 2 }},
	} {
		job := trainJob(t)
		c.change(&job)
		_, err := tr.Train(context.Background(), job, nil)
		refused(t, err, c.words...)
		if _, err := os.Stat(job.Out); err == nil {
			t.Errorf("a refused job (%v) wrote an adapter", c.words)
		}
	}
}

// sameFolder checks that two folders hold the same files with the same bytes.
func sameFolder(t *testing.T, got, want string) {
	t.Helper()
	files := func(dir string) map[string]string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]string{}
		for _, e := range entries {
			raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			m[e.Name()] = string(raw)
		}
		return m
	}
	a, b := files(got), files(want)
	if len(a) != len(b) || len(a) == 0 {
		t.Errorf("%s has %d files, %s has %d", got, len(a), want, len(b))
	}
	for name, raw := range b {
		if a[name] != raw {
			t.Errorf("%s differs between %s and %s", name, got, want)
		}
	}
}
