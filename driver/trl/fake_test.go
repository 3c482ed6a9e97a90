//go:build unix

package trl

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fakeVar makes the test binary the training program: its value says how it
// behaves, in words that may be combined.
const fakeVar = "TRL_TEST_PROGRAM"

// pythonVar makes the test binary an interpreter; see fakePython.
const pythonVar = "TRL_TEST_PYTHON"

func TestMain(m *testing.M) {
	if how := os.Getenv(pythonVar); how != "" && len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		os.Exit(fakePython(how, os.Args[1:]))
	}
	if how := os.Getenv(fakeVar); how != "" && len(os.Args) == 4 && os.Args[2] == ProgramFile {
		os.Exit(fake{how: how, dir: os.Args[3]}.run())
	}
	os.Exit(m.Run())
}

// fake behaves as the program does: one step each few milliseconds, a checkpoint
// (a file with the step's number) every second step.
type fake struct{ how, dir string }

func (f fake) is(word string) bool { return strings.Contains(f.how, word) }

func (f fake) write(kind string, fields map[string]any) {
	fields["kind"] = kind
	raw, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	out, err := os.OpenFile(filepath.Join(f.dir, EventsFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	defer out.Close()
	if _, err := out.Write(append(raw, '\n')); err != nil {
		panic(err)
	}
}

func (f fake) job() (j Job) {
	raw, err := os.ReadFile(filepath.Join(f.dir, JobFile))
	if err != nil {
		panic(err)
	}
	if err := json.Unmarshal(raw, &j); err != nil {
		panic(err)
	}
	return j
}

func (f fake) run() int {
	// Count starts, so that tests see a second program.
	starts, _ := os.OpenFile(filepath.Join(f.dir, "starts"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	fmt.Fprintln(starts, os.Getpid())
	starts.Close()
	switch {
	case f.is("import"):
		fmt.Fprintln(os.Stderr, "Traceback (most recent call last):\n  File \"dlm_trl.py\", line 3\nModuleNotFoundError: No module named 'trl'")
		return 1
	case f.is("oom"):
		f.write("start", map[string]any{"device": "cuda: NVIDIA L4", "vram": int64(22) << 30})
		f.write("error", map[string]any{"type": "oom", "message": "CUDA out of memory. Tried to allocate 2.00 GiB"})
		return 1
	case f.is("missing"):
		f.write("error", map[string]any{"type": "missing", "message": "quantize: nf4 needs bitsandbytes, which is not installed", "hint": "run dlm trainer install trl"})
		return 1
	}
	return f.train()
}

func (f fake) train() int {
	j := f.job()
	checkpoint := filepath.Join(f.dir, "checkpoint")
	resumed := 0
	if raw, err := os.ReadFile(checkpoint); err == nil {
		resumed, _ = strconv.Atoi(string(raw))
	}
	f.write("start", map[string]any{"versions": map[string]string{"trl": "1.0", "peft": "0.1"}, "device": "cpu", "pid": os.Getpid()})
	for step := resumed + 1; step <= j.Steps; step++ {
		if f.is("rollouts") {
			if !f.rollout(step) {
				return 1
			}
		}
		f.write("step", map[string]any{"step": step, "steps": j.Steps, "loss": 1 / float64(step)})
		if step%2 == 0 {
			f.save(checkpoint, step, j)
		}
		if f.is("dies") && step == 3 && resumed == 0 {
			fmt.Fprintln(os.Stderr, "warming up\nRuntimeError: the fan fell off")
			return 3
		}
		if f.is("cut") && step == 3 && resumed == 0 {
			out, _ := os.OpenFile(filepath.Join(f.dir, EventsFile), os.O_APPEND|os.O_WRONLY, 0o644)
			fmt.Fprint(out, `{"kind":"st`)
			return 9
		}
		for range 6000 { // until the test has done what it must do while this runs
			if !f.is("gate") || step != 6 || resumed > 0 || exists(filepath.Join(f.dir, "go")) || exists(filepath.Join(f.dir, StopFile)) {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if _, err := os.Stat(filepath.Join(f.dir, StopFile)); err == nil && !f.is("deaf") {
			f.save(checkpoint, step, j)
			f.write("stop", map[string]any{"step": step, "steps": j.Steps, "asked": true})
			return 75
		}
		if f.is("slow") {
			time.Sleep(20 * time.Millisecond)
		}
		for f.is("hangs") && step == 2 {
			time.Sleep(time.Second)
		}
	}
	out := filepath.Join(f.dir, OutDir)
	err := errors.Join(os.MkdirAll(out, 0o755), os.WriteFile(filepath.Join(out, "adapter_model.safetensors"), []byte("weights"), 0o644))
	if err != nil {
		panic(err)
	}
	f.write("done", map[string]any{"step": j.Steps, "steps": j.Steps, "loss": 0.5, "eval_loss": 0.6, "best_step": 2, "tokens": 100, "seconds": 1.5, "peak_bytes": 1 << 20, "resumed": resumed})
	return 0
}

func (f fake) save(path string, step int, j Job) {
	err := errors.Join(os.WriteFile(path+".tmp", []byte(strconv.Itoa(step)), 0o644), os.Rename(path+".tmp", path)) // whole, whenever it is killed
	if err != nil {
		panic(err)
	}
	f.write("checkpoint", map[string]any{"step": step, "steps": j.Steps, "path": path})
}

// rollout asks for rewards and waits for them.
func (f fake) rollout(n int) bool {
	f.write("rollout", map[string]any{"n": n, "rollouts": []map[string]any{{"row": 0, "completion": "a", "finish": "stop"}, {"row": 1, "completion": "bb", "finish": "length"}}})
	for range 500 {
		raw, err := os.ReadFile(filepath.Join(f.dir, RewardsDir, fmt.Sprintf("%d.json", n)))
		if err == nil {
			var r struct{ Rewards []float64 }
			if json.Unmarshal(raw, &r) != nil || len(r.Rewards) != 2 || r.Rewards[1] != 2 {
				f.write("error", map[string]any{"type": "rewards", "message": "not the rewards asked for: " + string(raw)})
				return false
			}
			f.write("reward", map[string]any{"step": n, "n": n, "reward": 1.5})
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.write("error", map[string]any{"type": "rewards", "message": "nobody answered"})
	return false
}
