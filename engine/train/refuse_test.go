package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/lora"
	"dlm/engine/model"
)

// short is a run of three steps with a checkpoint after each.
func short() Config {
	c := recipe()
	c.MaxSteps = 3
	return c
}

func TestResumeRefusesAnotherRun(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := start(t, context.Background(), dir, short(), nil); err != nil {
		t.Fatal(err)
	}
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	v := m.Config().Vocab
	for _, c := range []struct {
		what   string
		change func(cfg *Config, data *[]Example, ac *lora.Config)
		want   string
	}{
		{"lr", func(c *Config, _ *[]Example, _ *lora.Config) { c.LR = 0.5 }, "lr was 0.02, is 0.5"},
		{"steps", func(c *Config, _ *[]Example, _ *lora.Config) { c.MaxSteps = 4 }, "steps was 3, is 4"},
		{"base", func(c *Config, _ *[]Example, _ *lora.Config) { c.Base = "sha256:abc" }, "base was not given, is sha256:abc"},
		{"rank", func(_ *Config, _ *[]Example, a *lora.Config) { a.Rank = 2 }, "rank was 4, is 2"},
		{"a row more", func(_ *Config, d *[]Example, _ *lora.Config) { *d = synthetic(21, v) }, "training examples was 20, is 21"},
		{"a row changed", func(_ *Config, d *[]Example, _ *lora.Config) { (*d)[3].IDs[0] ^= 1 }, "training data was"},
	} {
		t.Run(c.what, func(t *testing.T) {
			cfg, data, ac := short(), synthetic(20, v), adapterConfig()
			c.change(&cfg, &data, &ac)
			_, err := Run(context.Background(), m, lora.New(m, ac, 3), data, synthetic(3, v), cfg, dir, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v; want one that says %q", err, c.want)
			}
		})
	}
	// What only changes how a step is cut is no other run.
	cfg := short()
	cfg.Packing, cfg.MicroBatch, cfg.SaveEvery, cfg.MemoryLimit = false, 2, 7, 1<<40
	if _, _, err := start(t, context.Background(), dir, cfg, nil); err != nil {
		t.Errorf("another way to cut the steps was refused: %v", err)
	}
}

func TestDamagedCheckpointFallsBack(t *testing.T) {
	want, _ := whole(t, short())
	for _, c := range []struct {
		what   string
		damage func(path string) error
	}{
		{"tensors cut short", func(p string) error { return os.Truncate(filepath.Join(p, tensorsFile), 1000) }},
		{"a flipped bit", func(p string) error {
			f := filepath.Join(p, tensorsFile)
			raw, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			raw[len(raw)/2] ^= 1
			return os.WriteFile(f, raw, 0o644)
		}},
		{"state emptied", func(p string) error { return os.WriteFile(filepath.Join(p, stateFile), nil, 0o644) }},
		{"state gone", func(p string) error { return os.Remove(filepath.Join(p, stateFile)) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := t.TempDir()
			if _, _, err := start(t, context.Background(), dir, short(), nil); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(stepDir(dir, 3)); err != nil {
				t.Fatal(err)
			}
			var notes []string
			a, res, err := start(t, context.Background(), dir, short(), func(e Event) {
				if e.Kind == "note" {
					notes = append(notes, e.Text)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if res.Resumed != 2 || len(notes) != 1 || !strings.Contains(notes[0], "step 3") {
				t.Errorf("resumed from %d with notes %q; expected step 2 and one note on step 3", res.Resumed, notes)
			}
			if valueHash(a) != want {
				t.Error("another adapter")
			}
		})
	}
}

func TestNoIntactCheckpointIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(stepDir(dir, 4), 0o755); err != nil {
		t.Fatal(err)
	}
	_, _, err := start(t, context.Background(), dir, short(), nil)
	if err == nil || !strings.Contains(err.Error(), "no checkpoint") || !strings.Contains(err.Error(), "remove the folder") {
		t.Errorf("error %v", err)
	}
}

func TestOtherKernelsAndCodeWarn(t *testing.T) {
	dir := t.TempDir()
	cfg := short()
	cfg.Code = "1.0"
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if _, _, err := start(t, ctx, dir, cfg, func(e Event) {
		if e.Kind == "checkpoint" {
			cancel()
		}
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	cfg.Code = "1.1"
	var notes []string
	if _, _, err := start(t, context.Background(), dir, cfg, func(e Event) {
		if e.Kind == "note" {
			notes = append(notes, e.Text)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], `"1.0"`) || !strings.Contains(notes[0], `"1.1"`) {
		t.Errorf("notes %q; expected one that names both versions", notes)
	}
}

func TestTwoRunsInOneFolder(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = start(t, context.Background(), dir, short(), nil)
	if err == nil || !strings.Contains(err.Error(), "another process is training in "+dir) {
		t.Errorf("error %v", err)
	}
	unlock()
	if _, _, err := start(t, context.Background(), dir, short(), nil); err != nil {
		t.Errorf("after the other one ended: %v", err)
	}
}

// spoiled is a pass that goes wrong at one micro-batch.
type spoiled struct {
	pass
	r        *runner
	at       int // micro-batches until it goes wrong
	gradient bool
}

func (p *spoiled) LogProbsGrad(dst []float32, targets []model.Target, dlogp []float32) {
	p.pass.LogProbsGrad(dst, targets, dlogp)
	if p.at--; p.at == 0 && !p.gradient {
		dst[len(dst)-1] = float32(math.NaN())
	}
}

func (p *spoiled) Backward(targets []model.Target, dlogp []float32) {
	p.pass.Backward(targets, dlogp)
	if p.at == 0 && p.gradient {
		p.r.tensors[5].Grad[2] = float32(math.Inf(1))
	}
}

func TestDivergedRunStops(t *testing.T) {
	for _, gradient := range []bool{false, true} {
		t.Run(fmt.Sprintf("gradient %v", gradient), func(t *testing.T) {
			m := tiny(t, "llama-tied", kernel.BF16, 1)
			a := lora.New(m, adapterConfig(), 3)
			cfg := short()
			cfg.MicroBatch, cfg.ClipNorm, cfg.Warmup = 1, 0, 0
			nr, err := newRunner(m, a, synthetic(20, m.Config().Vocab), nil, cfg)
			r := stepper(t, nr, err)
			r.dir = t.TempDir()
			r.pass = &spoiled{pass: r.pass, r: r, at: 8 + 3, gradient: gradient} // third micro-batch of the second step
			_, err = r.run(context.Background())
			var d *DivergedError
			if !errors.As(err, &d) {
				t.Fatalf("error %v, expected a DivergedError", err)
			}
			r.pack.canonical(r.order.step(1), cfg.MaxLen)
			third := r.data[r.pack.order[2]].ID
			if d.Step != 2 || (!gradient && (len(d.Examples) != 1 || d.Examples[0] != third)) || (gradient && len(d.Examples) != 8) {
				t.Errorf("step %d, examples %v; expected step 2 and, of the loss, example %s", d.Step, d.Examples, third)
			}
			for _, want := range []string{"step 2", d.Examples[0], "learning rate (now 0.02)", "clip_norm", "warm-up", "intact"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if gradient && !strings.Contains(err.Error(), r.tensors[5].Name) {
				t.Errorf("%q does not name the tensor %s", err, r.tensors[5].Name)
			}
			// Nothing of the failed step is in the adapter: it is the checkpoint's.
			after := valueHash(a)
			if err := r.restore(1, false); err != nil {
				t.Fatal(err)
			}
			if valueHash(a) != after {
				t.Error("the failed step changed the adapter")
			}
		})
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.F32, 1)
	a := lora.New(m, adapterConfig(), 3)
	data := synthetic(4, m.Config().Vocab)
	for want, change := range map[string]func(*Config){
		"batch_size 0":      func(c *Config) { c.BatchSize = 0 },
		"epochs 0":          func(c *Config) { c.MaxSteps = 0 },
		"lr 0":              func(c *Config) { c.LR = 0 },
		"schedule \"step\"": func(c *Config) { c.Schedule = "step" },
		"warmup -1":         func(c *Config) { c.Warmup = -1 },
		"clip_norm -1":      func(c *Config) { c.ClipNorm = -1 },
		"clip_norm NaN":     func(c *Config) { c.ClipNorm = math.NaN() },
		"max_len 1":         func(c *Config) { c.MaxLen = 1 },
		"context length":    func(c *Config) { c.MaxLen = 1 << 20 },
		"betas 2":           func(c *Config) { c.Beta1 = 2 },
		"eval_every -1":     func(c *Config) { c.EvalEvery = -1 },
	} {
		cfg := short()
		change(&cfg)
		if _, err := Preview(m, a, data, nil, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one that says %q", err, want)
		}
	}
	if _, err := Preview(m, a, nil, nil, short()); err == nil {
		t.Error("a run without examples was accepted")
	}
}

func TestPlan(t *testing.T) {
	was := settled
	settled = func() int64 { return 100 << 20 } // what the test process takes varies
	t.Cleanup(func() { settled = was })
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	a := lora.New(m, adapterConfig(), 3)
	data := synthetic(20, m.Config().Vocab)
	cfg := short()
	cfg.MaxSteps, cfg.Epochs = 0, 2
	p, err := Preview(m, a, data, nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	tokens, targets := 0, 0
	for _, e := range data {
		tokens += len(e.IDs)
		targets += e.targets()
	}
	if p.Steps != 6 || p.Tokens != 2*tokens || p.LossTokens != 2*targets || p.Examples != 20 || p.Passes != 6 {
		t.Errorf("plan %+v; the data has %d tokens, %d targets, 20 examples", p, tokens, targets)
	}
	sum := int64(0)
	for _, b := range p.Bytes {
		sum += b
	}
	if sum != p.PeakBytes || p.Bytes["activations"] == 0 || p.Bytes["optimiser"] != 12*p.Parameters || p.Parameters != a.Parameters() {
		t.Errorf("bytes %v, peak %d", p.Bytes, p.PeakBytes)
	}
	// Less memory: smaller passes. Too little: refused, with figures.
	cfg.MemoryLimit = p.PeakBytes - 1
	q, err := Preview(m, a, data, nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if q.MicroTokens >= p.MicroTokens && q.Recomputed <= p.Recomputed || q.PeakBytes > cfg.MemoryLimit {
		t.Errorf("with %d bytes: passes of %d tokens, %d bytes", cfg.MemoryLimit, q.MicroTokens, q.PeakBytes)
	}
	cfg.MemoryLimit = runtimeBytes
	if _, err := Preview(m, a, data, nil, cfg); err == nil || !strings.Contains(err.Error(), "may be used") {
		t.Errorf("error %v", err)
	}
}
