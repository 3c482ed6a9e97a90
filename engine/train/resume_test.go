package train

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dlm/engine/kernel"
	"dlm/engine/lora"
)

// resumable is a run with evaluations, a best checkpoint and dropout.
func resumable() Config {
	c := recipe()
	c.MaxSteps, c.KeepBest = 8, true
	return c
}

// start runs cfg in dir on a fresh base and adapter, as a new process would.
func start(t testing.TB, ctx context.Context, dir string, cfg Config, emit func(Event)) (*lora.Adapter, Result, error) {
	t.Helper()
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	a := lora.New(m, adapterConfig(), 3)
	v := m.Config().Vocab
	res, err := Run(ctx, m, a, synthetic(20, v), synthetic(3, v), cfg, dir, emit)
	return a, res, err
}

// whole runs cfg in one go and returns the adapter's hash and the result.
func whole(t testing.TB, cfg Config) (string, Result) {
	t.Helper()
	a, res, err := start(t, context.Background(), t.TempDir(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return valueHash(a), res
}

const (
	childEnv    = "DLM_TRAIN_TEST_DIR"
	childConfig = "DLM_TRAIN_TEST_CONFIG"
)

// childConfigs are the runs that child processes make.
var childConfigs = map[string]func() Config{"resumable": resumable, "early": early}

// TestChildProcess is no test: it is the process that killed starts and kills.
func TestChildProcess(t *testing.T) {
	dir := os.Getenv(childEnv)
	if dir == "" {
		t.Skip("only the process that another test starts runs this")
	}
	_, _, err := start(t, context.Background(), dir, childConfigs[os.Getenv(childConfig)](), func(e Event) {
		fmt.Printf("EVENT %s %d\n", e.Kind, e.Step)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// killed starts a child on dir, with one of childConfigs, and kills it with SIGKILL as soon as an event
// line has the given text, or after a while.
func killed(t *testing.T, config, dir, at string, wait time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChildProcess$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+dir, childConfig+"="+config)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(out)
	for s.Scan() {
		if strings.Contains(s.Text(), at) {
			break
		}
	}
	time.Sleep(wait)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
}

func TestKilledRunResumes(t *testing.T) {
	want, wantRes := whole(t, resumable())
	dir := t.TempDir()
	killed(t, "resumable", dir, "EVENT step 3", 0)                        // before its checkpoint
	killed(t, "resumable", dir, "EVENT checkpoint 5", 3*time.Millisecond) // somewhere in the next step
	if steps, err := checkpointSteps(dir); err != nil || len(steps) == 0 || steps[0] < 5 || steps[0] == 8 {
		t.Fatalf("checkpoints %v, error %v: the children were not cut off where they should have been", steps, err)
	}
	a, res, err := start(t, context.Background(), dir, resumable(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Resumed < 5 {
		t.Errorf("resumed from step %d, expected 5 or more", res.Resumed)
	}
	if valueHash(a) != want {
		t.Error("the resumed run made another adapter than the one in one go")
	}
	if !slices.Equal(res.Losses, wantRes.Losses) || !slices.Equal(res.Evals, wantRes.Evals) || res.Tokens != wantRes.Tokens {
		t.Errorf("losses, evaluations or tokens differ: %v %v %d, in one go %v %v %d",
			res.Losses, res.Evals, res.Tokens, wantRes.Losses, wantRes.Evals, wantRes.Tokens)
	}
	left, _ := filepath.Glob(filepath.Join(dir, checkpointsDir, ".*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestCancelledAnywhereResumes cancels a run at every event in turn, each time in
// a new folder, and lets it go on.
func TestCancelledAnywhereResumes(t *testing.T) {
	want, wantRes := whole(t, resumable())
	for _, stop := range []struct {
		kind string
		step int
	}{{"step", 1}, {"step", 2}, {"eval", 2}, {"sample", 4}, {"checkpoint", 3}, {"step", 8}} {
		t.Run(fmt.Sprintf("%s %d", stop.kind, stop.step), func(t *testing.T) {
			dir := t.TempDir()
			cfg := resumable()
			cfg.SaveEvery = 3
			cfg.Sample = func(ctx context.Context, step int) ([]string, error) { return []string{"x"}, ctx.Err() }
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			_, _, err := start(t, ctx, dir, cfg, func(e Event) {
				if e.Kind == stop.kind && e.Step == stop.step {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v, expected that the context was cancelled", err)
			}
			a, res, err := start(t, context.Background(), dir, cfg, nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.Resumed < stop.step {
				t.Errorf("resumed from step %d: what was done up to step %d is lost", res.Resumed, stop.step)
			}
			if valueHash(a) != want || !slices.Equal(res.Evals, wantRes.Evals) {
				t.Errorf("another adapter or other evaluations: %v, in one go %v", res.Evals, wantRes.Evals)
			}
		})
	}
}

func TestFinishedRunReturnsAtOnce(t *testing.T) {
	dir := t.TempDir()
	a, first, err := start(t, context.Background(), dir, resumable(), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, second, err := start(t, context.Background(), dir, resumable(), func(e Event) {
		if e.Kind == "step" {
			t.Error("a step was made again")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if valueHash(a) != valueHash(b) || first.EvalLoss != second.EvalLoss || first.BestStep != second.BestStep {
		t.Errorf("the second call gives %+v, the first %+v", second, first)
	}
}

func TestKeepBestEndsWithTheBestAdapter(t *testing.T) {
	cfg := resumable()
	cfg.LR, cfg.MaxSteps, cfg.EvalEvery = 0.5, 8, 1 // far too high: it gets worse again
	cfg.SaveEvery = 100
	dir := t.TempDir()
	a, res, err := start(t, context.Background(), dir, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	best := slices.MinFunc(res.Evals, func(x, y Eval) int {
		if x.Loss < y.Loss {
			return -1
		}
		return 1
	})
	if res.BestStep != best.Step || res.EvalLoss != best.Loss {
		t.Errorf("kept step %d (loss %v); the best of %v is step %d", res.BestStep, res.EvalLoss, res.Evals, best.Step)
	}
	if best.Step == cfg.MaxSteps {
		t.Fatalf("the last step is the best (%v): this test shows nothing", res.Evals)
	}
	// Its loss, computed anew, is the best's.
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	nr, err := newRunner(m, a, synthetic(20, m.Config().Vocab), synthetic(3, m.Config().Vocab), cfg)
	r := stepper(t, nr, err)
	if l, err := r.evaluate(context.Background(), 0); err != nil || l != best.Loss {
		t.Errorf("the adapter left has evaluation loss %v (%v), the best was %v", l, err, best.Loss)
	}
}

func TestOldCheckpointsGo(t *testing.T) {
	cfg := resumable()
	cfg.LR = 0.5 // the best is an early one
	dir := t.TempDir()
	_, res, err := start(t, context.Background(), dir, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := checkpointSteps(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []int{8, 7}
	if res.BestStep < 7 {
		want = append(want, res.BestStep)
	}
	if !slices.Equal(steps, want) {
		t.Errorf("checkpoints %v are left, expected %v", steps, want)
	}
}
