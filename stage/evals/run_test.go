package evals

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"dlm"
)

// simpleJob is three items and one scorer; the fake base answers "right" to all.
func simpleJob(t *testing.T) (*fakeGenerator, Job) {
	t.Helper()
	scorers, err := NewAll([]ScorerSpec{{Name: "exact"}})
	if err != nil {
		t.Fatal(err)
	}
	zero, err := NewArm(ArmSpec{Kind: "zero-shot"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var items []dlm.Item
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		it := ask(id, "question "+id)
		it.Target = "right"
		items = append(items, it)
	}
	gen := &fakeGenerator{answer: func(string, []dlm.Message) (string, error) { return "right", nil }}
	return gen, Job{Items: items, Arms: []Arm{zero}, Scorers: scorers, Batch: 2}
}

func TestRunWholeTask(t *testing.T) {
	gen, job := claimsJob(t, 60)
	var told []Progress
	job.OnSample = func(p Progress) { told = append(told, p) }
	rep, err := Run(context.Background(), gen, job)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Arms) != 5 || rep.Items != 60 || rep.Primary != "record" {
		t.Fatalf("%d arms, %d items, primary %s", len(rep.Arms), rep.Items, rep.Primary)
	}
	if len(told) != 5*60 || told[299].Done != 60 || told[299].ArmAt != 4 || told[299].ArmsAll != 5 {
		t.Errorf("%d samples told, last %+v", len(told), told[len(told)-1].Done)
	}
	for _, a := range rep.Arms {
		if len(a.Samples) != 60 {
			t.Fatalf("%s: %d samples", a.Name, len(a.Samples))
		}
		right := 0.0
		for i, s := range a.Samples {
			if s.ItemID != job.Items[i].ID {
				t.Fatalf("%s: sample %d is of item %s", a.Name, i, s.ItemID)
			}
			right += s.Scores["record"].Value
		}
		m, _ := a.Metric("record")
		if math.Abs(m.Value-right/60) > 1e-12 || m.N != 60 || m.Low > m.Value || m.High < m.Value {
			t.Errorf("%s: %+v with %v right", a.Name, m, right)
		}
	}
	shots := rep.Arms[1]
	if n := len(shots.Samples[0].Prompt); n != 2+2*4 {
		t.Errorf("few-shot prompt of %d messages", n)
	}
	if m, _ := rep.Arms[0].Metric("slot_precision"); m.N != 0 || m.Method != "none" {
		t.Errorf("precision of an arm that gave no slots: %+v", m)
	}
	// Deterministic but for latency.
	again, err := Run(context.Background(), gen, job)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*dlm.Report{&rep, &again} {
		for i := range r.Arms {
			for j := range r.Arms[i].Samples {
				r.Arms[i].Samples[j].LatencyMS = 0
			}
		}
	}
	var x, y bytes.Buffer
	if err := WriteJSON(&x, rep); err != nil {
		t.Fatal(err)
	}
	if err := WriteJSON(&y, again); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x.Bytes(), y.Bytes()) {
		t.Error("two runs give different reports")
	}
	back, err := ReadJSON(&x)
	if err != nil || len(back.Arms) != 5 || back.Arms[4].Adapter != rep.Arms[4].Adapter {
		t.Errorf("read back: %v", err)
	}
}

func TestRunResumes(t *testing.T) {
	gen, job := simpleJob(t)
	ctx, stop := context.WithCancel(context.Background())
	var done []DoneSample
	job.OnSample = func(p Progress) {
		done = append(done, DoneSample{p.Arm, p.Sample})
		if len(done) == 2 {
			stop()
		}
	}
	if _, err := Run(ctx, gen, job); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	if len(done) != 2 {
		t.Fatalf("%d samples before the cut", len(done))
	}
	before := gen.calls.Load()
	reused := 0
	job.Done = done
	job.OnSample = func(p Progress) {
		if p.Reused {
			reused++
		}
	}
	rep, err := Run(context.Background(), gen, job)
	if err != nil {
		t.Fatal(err)
	}
	if reused != 2 || gen.calls.Load()-before != 2 {
		t.Errorf("%d reused, %d calls; want 2 and 2", reused, gen.calls.Load()-before)
	}
	if m, _ := rep.Arms[0].Metric("exact"); m.Value != 1 || m.N != 5 {
		t.Errorf("%+v", m)
	}
	// A finished sample of another question, target or with an error is not taken over.
	for name, spoil := range map[string]func(*dlm.Sample){
		"prompt": func(s *dlm.Sample) { s.Prompt = nil },
		"target": func(s *dlm.Sample) { s.Target = "other" },
		"error":  func(s *dlm.Sample) { s.Finish = "error" },
	} {
		reused = 0
		job.Done = slices.Clone(done)
		spoil(&job.Done[0].Sample)
		if _, err := Run(context.Background(), gen, job); err != nil || reused != 1 {
			t.Errorf("%s: %d reused, %v; want 1", name, reused, err)
		}
	}
	// Scores are made anew, so a changed scorer counts.
	job.Done = slices.Clone(done)
	job.Done[0].Sample.Completion = "wrong"
	rep, err = Run(context.Background(), gen, job)
	if m, _ := rep.Arms[0].Metric("exact"); err != nil || m.Value != 0.8 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestRunErrors(t *testing.T) {
	gen, job := simpleJob(t)
	gen.answer = func(_ string, msgs []dlm.Message) (string, error) {
		if strings.HasSuffix(msgs[len(msgs)-1].Content, "c") {
			return "", errors.New("prompt has 9000 tokens, the context holds 8192")
		}
		return "right", nil
	}
	rep, err := Run(context.Background(), gen, job)
	if err != nil {
		t.Fatal(err)
	}
	m, _ := rep.Arms[0].Metric("exact")
	s := rep.Arms[0].Samples[2]
	if m.N != 4 || m.Unscored != 1 || s.Finish != "error" || !strings.Contains(s.Error, "9000 tokens") || !s.Scores["exact"].Unscored {
		t.Errorf("%+v, %+v", m, s)
	}
	if d := rep.Arms[0].Samples[3]; d.Scores["exact"].Value != 1 {
		t.Errorf("the neighbour of a failed prompt: %+v", d)
	}
	if !slices.ContainsFunc(rep.Notes, func(n string) bool { return strings.Contains(n, "1 items got no completion (c)") }) {
		t.Errorf("notes %q", rep.Notes)
	}
	gen.answer = func(string, []dlm.Message) (string, error) { return "", errors.New("no such adapter") }
	if _, err := Run(context.Background(), gen, job); err == nil || !strings.Contains(err.Error(), "arm zero-shot: no such adapter") {
		t.Errorf("a generator that always fails: %v", err)
	}
	short := generatorFunc(func(reqs []dlm.GenerateRequest) []dlm.Completion { return nil })
	if _, err := Run(context.Background(), short, job); err == nil || !strings.Contains(err.Error(), "0 completions for") {
		t.Errorf("a generator that answers too little: %v", err)
	}
}

type generatorFunc func([]dlm.GenerateRequest) []dlm.Completion

func (f generatorFunc) Generate(_ context.Context, reqs []dlm.GenerateRequest, _ func(int, dlm.Token)) ([]dlm.Completion, error) {
	return f(reqs), nil
}

func TestRunRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Job)
		want  string
	}{
		"no items":    {func(j *Job) { j.Items = nil }, "no items"},
		"no arms":     {func(j *Job) { j.Arms = nil }, "no arms"},
		"no scorers":  {func(j *Job) { j.Scorers = nil }, "no scorers"},
		"arm twice":   {func(j *Job) { j.Arms = append(j.Arms, j.Arms[0]) }, `called "zero-shot"`},
		"primary":     {func(j *Job) { j.Primary = "record" }, `primary metric "record" comes from no scorer`},
		"level":       {func(j *Job) { j.Level = 95 }, "level 95"},
		"no logprobs": {func(j *Job) { s, _ := NewAll([]ScorerSpec{{Name: "choice"}}); j.Scorers = s }, "needs log-probabilities"},
	} {
		gen, job := simpleJob(t)
		c.spoil(&job)
		if _, err := Run(context.Background(), gen, job); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, job := simpleJob(t)
	if _, err := Run(context.Background(), nil, job); err == nil || !strings.Contains(err.Error(), "needs a generator") {
		t.Errorf("no generator: %v", err)
	}
}

// fakeScorer likes the completion that equals its favourite.
type fakeScorer struct {
	favourite string
	requests  []dlm.ScoreRequest
}

func (f *fakeScorer) Score(_ context.Context, reqs []dlm.ScoreRequest) ([]dlm.Scored, error) {
	f.requests = append(f.requests, reqs...)
	out := make([]dlm.Scored, len(reqs))
	for i, r := range reqs {
		out[i] = dlm.Scored{Sum: -5, Tokens: make([]dlm.Token, 2)}
		if r.Completion == f.favourite {
			out[i].Sum = -1
		}
	}
	return out, nil
}

func TestRunChoice(t *testing.T) {
	_, job := simpleJob(t)
	scorers, err := NewAll([]ScorerSpec{{Name: "choice"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range job.Items {
		job.Items[i].Choices = []string{"left", "right"}
	}
	copyArm, err := NewArm(ArmSpec{Kind: "nearest-copy"}, index(t, row("question z", "right")))
	if err != nil {
		t.Fatal(err)
	}
	fake := &fakeScorer{favourite: "left"}
	job.Scorers, job.LogProbs = scorers, fake
	job.Arms = append(job.Arms, copyArm, AdapterArm("tuned", "", "/adapters/tuned"))
	gen := &fakeGenerator{answer: func(string, []dlm.Message) (string, error) { return "", errors.New("nothing is to be generated") }}
	rep, err := Run(context.Background(), gen, job)
	if err != nil {
		t.Fatal(err)
	}
	if m, _ := rep.Arms[0].Metric("choice"); m.Value != 0 || m.N != 5 {
		t.Errorf("%+v", m)
	}
	s := rep.Arms[0].Samples[0]
	if s.Completion != "left" || s.Finish != "choice" {
		t.Errorf("%+v", s)
	}
	if m, _ := rep.Arms[1].Metric("choice"); m.N != 0 || m.Unscored != 5 {
		t.Errorf("an arm without a model: %+v", m)
	}
	if len(fake.requests) != 2*2*5 || !fake.requests[0].EndOfTurn || fake.requests[19].Adapter != "/adapters/tuned" {
		t.Errorf("%d requests", len(fake.requests))
	}
}

func TestLatency(t *testing.T) {
	gen, job := simpleJob(t)
	gen.delay = 4 * time.Millisecond
	rep, err := Run(context.Background(), gen, job)
	if err != nil {
		t.Fatal(err)
	}
	if median, p95 := Latency(rep.Arms[0]); median < 4 || p95 < median || median > 400 {
		t.Errorf("median %v ms, p95 %v ms of answers that take 4 ms each", median, p95)
	}
}

func TestLeaksAreNoted(t *testing.T) {
	gen, job := simpleJob(t)
	arm, err := NewArm(ArmSpec{Kind: "few-shot", Shots: 1}, index(t, row("Question: a", "x"), row("question y", "y")))
	if err != nil {
		t.Fatal(err)
	}
	job.Items[0].Messages[1].Content = "question, A"
	job.Arms = append(job.Arms, arm)
	rep, err := Run(context.Background(), gen, job)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Notes) != 1 || !strings.Contains(rep.Notes[0], "1 of 5 golden items also stand in the training rows (a)") {
		t.Errorf("notes %q", rep.Notes)
	}
	for _, m := range rep.Arms[1].Samples[0].Prompt {
		if m.Content == "Question: a" {
			t.Error("the leak was shown as an example")
		}
	}
}
