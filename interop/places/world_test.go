//go:build linux

package places

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// world is a folder with dlm projects on a tiny base.
type world struct {
	t           *testing.T
	dir         string
	dlm, python string
	base        string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv("DLM_INTEROP") == "" {
		t.Skip("runs with DLM_INTEROP=1, on real TRL")
	}
	w := &world{t: t, dir: t.TempDir(), python: os.Getenv("DLM_PYTHON")}
	if w.python == "" {
		t.Skip("DLM_PYTHON names no Python with TRL")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	w.base = filepath.Join(root, "engine", "testdata", "tiny", "llama-tied")
	if w.dlm = os.Getenv("DLM_BIN"); w.dlm == "" {
		w.dlm = filepath.Join(w.dir, "dlm")
		build := exec.Command("go", "build", "-o", w.dlm, "./cmd/dlm")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return w
}

const (
	steps = 24 // of a run
	saved = 5  // steps between checkpoints
)

// project makes one: some steps in f32 without dropout, so that the bytes of a run
// that was cut can be compared with those of one that was not. A step takes 64
// passes: long enough, also on an idle machine, for something to be killed in it.
func (w *world) project(name, trl string) string {
	w.t.Helper()
	dir := filepath.Join(w.dir, name)
	var rows bytes.Buffer
	for i := range 400 {
		user, assistant := fmt.Sprintf("Which team takes claim %d?", i), []string{"motor", "home", "travel"}[i%3]
		if err := json.NewEncoder(&rows).Encode(map[string]any{"messages": []map[string]string{{"role": "user", "content": user}, {"role": "assistant", "content": assistant}}}); err != nil {
			w.t.Fatal(err)
		}
	}
	text := fmt.Sprintf(`project: p
base: %s
trainer: trl
trl: {%s}
data: {train: rows.jsonl, held_out: 4, max_len: 256}
train: {max_steps: %d, batch_size: 256, micro_batch: 4, precision: f32, save_every: %d, eval_every: 12, samples: 0, warmup: 1, checkpointing: "off"}
`, w.base, trl, steps, saved)
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "rows.jsonl"), rows.Bytes(), 0o644), os.WriteFile(filepath.Join(dir, "dlm.yaml"), []byte(text), 0o644))
	if err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// run is one dlm that trains.
type run struct {
	t   *testing.T
	cmd *exec.Cmd

	mu   sync.Mutex
	text string
	step int
	more chan struct{}
	done chan error
}

// train starts dlm train sft in a project.
func (w *world) train(dir string) *run {
	w.t.Helper()
	r := &run{t: w.t, cmd: exec.Command(w.dlm, "-C", dir, "train", "sft"), more: make(chan struct{}, 1), done: make(chan error, 1)} //nolint:gosec // dlm
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	r.cmd.Stderr = r.cmd.Stdout
	if err := r.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			r.line(s.Text())
		}
		r.done <- r.cmd.Wait()
	}()
	w.t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		if w.t.Failed() {
			w.t.Logf("dlm said:\n%s", r.said())
		}
	})
	return r
}

func (r *run) line(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text += text + "\n"
	var step, of int
	if _, err := fmt.Sscanf(strings.TrimSpace(text), "step %d/%d", &step, &of); err == nil && strings.Contains(text, "|grad|") {
		r.step = step
	}
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (r *run) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text
}

func (r *run) at() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.step
}

const patience = 10 * time.Minute

// until waits for a step. It is an error when dlm ends before.
func (r *run) until(step int) {
	r.t.Helper()
	for end := time.After(patience); r.at() < step; {
		select {
		case <-r.more:
		case err := <-r.done:
			r.done <- err
			r.t.Fatalf("dlm ended before step %d: %v", step, err)
		case <-end:
			r.t.Fatalf("step %d does not come", step)
		}
	}
}

// end waits for dlm's end.
func (r *run) end() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		r.done <- err
		return err
	case <-time.After(patience):
		r.t.Fatal("dlm does not end")
		return nil
	}
}

// ok waits for an end without an error, and checks that the last dlm saw no step twice.
func (r *run) ok() {
	r.t.Helper()
	if err := r.end(); err != nil {
		r.t.Fatalf("dlm: %v", err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(r.said()) {
		if head, _, ok := strings.Cut(line, "loss"); ok && strings.Contains(line, "|grad|") {
			if seen[head] {
				r.t.Errorf("%s is told twice", strings.TrimSpace(head))
			}
			seen[head] = true
		}
	}
}

// has checks what dlm said.
func (r *run) has(parts ...string) {
	r.t.Helper()
	for _, p := range parts {
		if !strings.Contains(r.said(), p) {
			r.t.Errorf("dlm does not say %q", p)
		}
	}
}

// kill ends processes as kill -9 does, and says how many.
func kill(t *testing.T, fits func(pid, parent int, command string) bool) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		raw, err1 := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		stat, err2 := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err1 != nil || err2 != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		parent, err := strconv.Atoi(fields[1])
		if err == nil && fits(pid, parent, strings.ReplaceAll(string(raw), "\x00", " ")) && syscall.Kill(pid, syscall.SIGKILL) == nil {
			n++
		}
	}
	return n
}

// killProgram ends the training programs of jobs below a folder, but not what
// started them.
func killProgram(t *testing.T, below string) {
	t.Helper()
	n := kill(t, func(_, _ int, command string) bool {
		return strings.Contains(command, "dlm_trl.py "+below) && !strings.Contains(command, "dlm_box.py") && !strings.Contains(command, "sh -c")
	})
	if n == 0 {
		t.Error("there is no training program to kill")
	}
}

// adapter is the hash of a project's adapter.
func (w *world) adapter(dir string) string {
	w.t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, ".dlm", "trees", "*", "adapter_model.safetensors"))
	if err != nil || len(list) != 1 {
		w.t.Fatalf("adapters %v, %v", list, err)
	}
	raw, err := os.ReadFile(list[0])
	if err != nil {
		w.t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// uncut is the adapter of a run on this machine that nobody disturbed.
func (w *world) uncut() string {
	w.t.Helper()
	dir := w.project("uncut", "python: "+w.python)
	w.train(dir).ok()
	return w.adapter(dir)
}
