//go:build unix

package trl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dlm"
)

func TestCancel(t *testing.T) {
	tr, j := trainer(t, "gate"), job(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := tr.Train(ctx, j, func(e dlm.TrainEvent) {
		if e.Kind == "step" && e.Step == 3 {
			cancel()
		}
		if e.Kind == "stop" {
			t.Error("a stop that was asked for is shown as an early one")
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if alive, err := running(Bundle{Dir: filepath.Join(j.Dir, BundleDir)}); alive || err != nil {
		t.Errorf("the program runs: %v, %v", alive, err)
	}
	var ev events
	r, err := tr.Train(t.Context(), j, ev.take)
	if err != nil || r.Resumed < 3 || ev.steps[0] != r.Resumed+1 {
		t.Errorf("resumed from %d, steps %v, %v", r.Resumed, ev.steps, err)
	}
}

func TestDeaths(t *testing.T) {
	for how, c := range map[string]struct {
		kind  string
		words []string
	}{
		"dies":    {"died", []string{"at step 3", "exit status 3", "RuntimeError: the fan fell off", "same command", LogFile}},
		"cut":     {"died", []string{"at step 3", "exit status 9"}},
		"import":  {"died", []string{"ModuleNotFoundError: No module named 'trl'"}},
		"oom":     {"oom", []string{"CUDA out of memory", "train.micro_batch=1", "quantize=nf4"}},
		"missing": {"missing", []string{"bitsandbytes", "dlm trainer install trl"}},
	} {
		t.Run(how, func(t *testing.T) {
			j := job(t)
			_, err := trainer(t, how).Train(t.Context(), j, nil)
			var f *Failure
			if !errors.As(err, &f) || f.Type != c.kind {
				t.Fatalf("error %v", err)
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if _, err := os.Stat(j.Out); err == nil {
				t.Error("an adapter was written")
			}
			// The next call begins again, from the checkpoint where there is one.
			var ev events
			r, err := trainer(t, "plain").Train(t.Context(), j, ev.take)
			if want := map[string]int{"dies": 2, "cut": 2}[how]; err != nil || r.Resumed != want || r.Steps != 8 {
				t.Errorf("resumed from %d, %v", r.Resumed, err)
			}
			if strings.Contains(ev.notes, "cannot be read") != (how == "cut") {
				t.Errorf("notes: %s", ev.notes)
			}
		})
	}
}

// kill -9 of the program: an error with how it ended, and the next call resumes.
func TestKilled(t *testing.T) {
	tr, j := trainer(t, "gate"), job(t)
	_, err := tr.Train(t.Context(), j, func(e dlm.TrainEvent) {
		if e.Kind == "step" && e.Step == 5 {
			if err := syscall.Kill(pidOf(t, j), syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	})
	if err == nil || !strings.Contains(err.Error(), "signal: killed") || !strings.Contains(err.Error(), "memory") {
		t.Errorf("error %v", err)
	}
	r, err := tr.Train(t.Context(), j, nil)
	if err != nil || r.Resumed < 4 {
		t.Errorf("resumed from %d, %v", r.Resumed, err)
	}
}

// open lets a program go on that waits at its gate.
func open(t *testing.T, j dlm.TrainJob) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(j.Dir, BundleDir, "go"), nil, 0o644); err != nil {
		t.Error(err)
	}
}

func pidOf(t *testing.T, j dlm.TrainJob) int {
	t.Helper()
	var c child
	raw, err := os.ReadFile(filepath.Join(j.Dir, BundleDir, pidFile))
	if err != nil || json.Unmarshal(raw, &c) != nil {
		t.Fatal(err)
	}
	return c.PID
}

// dlm dies, the program goes on: the next call attaches to it. The part of dlm
// that dies is played by a process that begins the bundle and is killed.
func TestAttach(t *testing.T) {
	if dir := os.Getenv("TRL_TEST_BEGIN"); dir != "" {
		b := Bundle{Dir: dir, Start: []string{os.Args[0], "-u", ProgramFile}}
		if _, err := NewLocal().Begin(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		fmt.Println("begun")
		time.Sleep(time.Minute)
	}
	tr, j := trainer(t, "gate"), job(t)
	j.Recipe.Epochs = 8
	p, err := tr.prepare(j)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(j.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := tr.bundle(t.Context(), p, p.job.Recipe, j.Dir)
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0], "-test.run", "^TestAttach$")
	parent.Env = append(os.Environ(), "TRL_TEST_BEGIN="+b.Dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if raw, _ := os.ReadFile(b.Path(EventsFile)); strings.Contains(string(raw), `"step":2`) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if alive, err := running(b); !alive || err != nil {
		t.Fatalf("the program died with dlm: %v", err)
	}
	var ev events
	r, err := tr.Train(t.Context(), j, func(e dlm.TrainEvent) {
		if ev.take(e); strings.Contains(e.Text, "attached") {
			open(t, j)
		}
	})
	if err != nil || r.Resumed != 0 || r.Steps != 32 {
		t.Errorf("%+v, %v", r, err)
	}
	if starts(t, j) != 1 || ev.steps[0] == 1 || len(ev.steps) >= 32 || !strings.Contains(ev.notes, "attached at step") {
		t.Errorf("%d programs, steps %v, notes %s", starts(t, j), ev.steps, ev.notes)
	}
}

// A stop file that an earlier dlm left, which was killed before it saw the end.
func TestOldStop(t *testing.T) {
	tr, j := trainer(t, "gate"), job(t)
	p, err := tr.prepare(j)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(j.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := tr.bundle(t.Context(), p, p.job.Recipe, j.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewLocal().Begin(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := NewLocal().Put(t.Context(), b, StopFile, nil); err != nil {
		t.Fatal(err)
	}
	var ev events
	r, err := tr.Train(t.Context(), j, ev.take)
	if err != nil || r.Steps != 8 || starts(t, j) != 2 {
		t.Errorf("%+v, %v, %d programs; %s", r, err, starts(t, j), ev.notes)
	}
}

// Two calls at once: the second is refused and starts no second program.
func TestTwoAtOnce(t *testing.T) {
	tr, j := trainer(t, "gate"), job(t)
	tried := false
	if _, err := tr.Train(t.Context(), j, func(e dlm.TrainEvent) {
		if e.Kind != "step" || tried {
			return
		}
		tried = true
		if _, err := tr.Train(t.Context(), j, nil); err == nil || !strings.Contains(err.Error(), "another process") {
			t.Errorf("the second call: %v", err)
		}
		open(t, j)
	}); err != nil {
		t.Fatal(err)
	}
	if starts(t, j) != 1 || !tried {
		t.Errorf("%d programs", starts(t, j))
	}
}

// A program that does not listen is ended, and not left behind.
func TestHangs(t *testing.T) {
	tr, j := trainer(t, "hangs deaf", func(o *Options) { o.StopWait = 300 * time.Millisecond }), job(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := tr.Train(ctx, j, func(e dlm.TrainEvent) {
		if e.Kind == "step" && e.Step == 2 {
			cancel()
		}
	})
	if err == nil || !strings.Contains(err.Error(), "has not done so") {
		t.Errorf("error %v", err)
	}
	if alive, err := running(Bundle{Dir: filepath.Join(j.Dir, BundleDir)}); alive || err != nil {
		t.Errorf("the program runs: %v, %v", alive, err)
	}
}

func TestRollouts(t *testing.T) {
	tr, j := trainer(t, "rollouts"), job(t)
	j.Recipe.Method = "grpo"
	if _, err := tr.Train(t.Context(), j, nil); err == nil || !strings.Contains(err.Error(), "reward") {
		t.Errorf("without a reward: %v", err)
	}
	asked := 0
	j.Reward = func(_ context.Context, rs []dlm.Rollout) ([]float64, error) {
		asked++
		var out []float64
		for _, r := range rs {
			out = append(out, float64(len(r.Completion)))
		}
		return out, nil
	}
	var ev events
	if _, err := tr.Train(t.Context(), j, ev.take); err != nil || asked != 8 || ev.kinds["reward"] != 8 {
		t.Errorf("%v, asked %d times, events %v", err, asked, ev.kinds)
	}
	j2 := job(t)
	j2.Recipe.Method = "grpo"
	j2.Reward = func(context.Context, []dlm.Rollout) ([]float64, error) { return nil, errors.New("no judge") }
	if _, err := tr.Train(t.Context(), j2, nil); err == nil || !strings.Contains(err.Error(), "no judge") {
		t.Errorf("error %v", err)
	}
	if alive, err := running(Bundle{Dir: filepath.Join(j2.Dir, BundleDir)}); alive || err != nil {
		t.Errorf("the program runs: %v, %v", alive, err)
	}
}

func TestRefusals(t *testing.T) {
	for word, change := range map[string]func(*dlm.TrainJob){
		"method":         func(j *dlm.TrainJob) { j.Recipe.Method = "nonsense" },
		"rank":           func(j *dlm.TrainJob) { j.Recipe.Rank = 0 },
		"zz_proj":        func(j *dlm.TrainJob) { j.Recipe.TargetModules = []string{"zz_proj"} },
		"lr":             func(j *dlm.TrainJob) { j.Recipe.LR = 0 },
		"no training":    func(j *dlm.TrainJob) { j.Rows = nil },
		"mask":           func(j *dlm.TrainJob) { j.Rows[1].TrainFrom = 9 },
		"no messages":    func(j *dlm.TrainJob) { j.Rows[1].Messages = nil },
		"working folder": func(j *dlm.TrainJob) { j.Dir = "" },
		"early_stopping": func(j *dlm.TrainJob) { j.Held, j.Recipe.EarlyStopping.Patience = nil, 2 },
	} {
		j := job(t)
		change(&j)
		if _, err := trainer(t, "plain").Train(t.Context(), j, nil); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v, expected one about %q", err, word)
		}
	}
	tr := trainer(t, "plain", func(o *Options) { o.Python = "/nowhere/python" })
	if _, err := tr.Train(t.Context(), job(t), nil); err == nil || !strings.Contains(err.Error(), "/nowhere/python") {
		t.Errorf("error %v", err)
	}
}
