//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slow makes a training of many steps with a checkpoint every second one, so
// that there is time to interfere. The result is the same for the same number
// of steps, however often it is cut.
var slow = []string{"--set", "train.max_steps=120", "--set", "train.save_every=2", "--set", "train.eval_every=40", "--set", "train.samples=0"}

// workplace is a copy of the trained project, and the environment to use it in.
type workplace struct {
	t   *testing.T
	dir string
	env []string
	old map[string]bool // folders of runs that it was copied with
}

func newWorkplace(t *testing.T) *workplace {
	t.Helper()
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	dir := t.TempDir()
	w := &workplace{t: t, dir: filepath.Join(dir, "p")}
	env, err := offline(dir)
	if err != nil {
		t.Fatal(err)
	}
	w.env = append(os.Environ(), env...)
	w.fill()
	return w
}

func (w *workplace) fill() {
	w.t.Helper()
	from, err := trained()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.CopyFS(w.dir, os.DirFS(from)); err != nil {
		w.t.Fatal(err)
	}
	runs, err := os.ReadDir(filepath.Join(w.dir, ".dlm", "runs"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.old = map[string]bool{}
	for _, r := range runs {
		w.old[r.Name()] = true
	}
}

func (w *workplace) command(args ...string) *exec.Cmd {
	cmd := exec.Command("dlm", args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	return cmd
}

// ends runs a command that must end with this code, and returns its streams.
func (w *workplace) ends(code int, args ...string) (stdout, stderr string) {
	w.t.Helper()
	var out, errs bytes.Buffer
	cmd := w.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code says it
	if got := cmd.ProcessState.ExitCode(); got != code {
		w.t.Fatalf("dlm %s: exit code %d, expected %d\n%s%s", strings.Join(args, " "), got, code, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// asks runs a command and decodes its JSON.
func (w *workplace) asks(v any, args ...string) {
	w.t.Helper()
	out, _ := w.ends(0, append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		w.t.Fatalf("dlm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// documented runs a command whose JSON must have the keys of docs/CLI.md.
func (w *workplace) documented(name string, args ...string) map[string]any {
	w.t.Helper()
	var v map[string]any
	w.asks(&v, args...)
	if err := documented(name, v); err != nil {
		w.t.Error(err)
	}
	return v
}

// process is a command that is still at it.
type process struct {
	cmd  *exec.Cmd
	out  bytes.Buffer
	done chan struct{}
}

func (w *workplace) start(args ...string) *process {
	w.t.Helper()
	p := &process{cmd: w.command(args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	w.t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.done })
	return p
}

// stop sends a signal and waits for the end.
func (p *process) stop(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("%v came too late: %v\n%s", sig, err, p.out.String())
	}
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		t.Fatalf("it did not end within 20 s of %v\n%s", sig, p.out.String())
	}
}

// glob finds files in the folders of runs that began here.
func (w *workplace) glob(pattern string) []string {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.dir, ".dlm", "runs", pattern))
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, f := range found {
		rel, err := filepath.Rel(filepath.Join(w.dir, ".dlm", "runs"), f)
		if err != nil {
			w.t.Fatal(err)
		}
		if run, _, _ := strings.Cut(rel, string(filepath.Separator)); !w.old[run] {
			out = append(out, f)
		}
	}
	return out
}

// until waits for a file of the project that matches the pattern and is good.
func (w *workplace) until(p *process, pattern string, good func(string) bool) string {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		for _, f := range w.glob(pattern) {
			if good == nil || good(f) {
				return f
			}
		}
		select {
		case <-p.done:
			w.t.Fatalf("it ended before %s was there\n%s", pattern, p.out.String())
		default:
		}
	}
	w.t.Fatalf("no %s after 30 s", pattern)
	return ""
}

type runOut struct {
	ID      string             `json:"id"`
	Stage   string             `json:"stage"`
	Status  string             `json:"status"`
	Metrics map[string]float64 `json:"metrics"`
}

func (w *workplace) newestRun() runOut {
	w.t.Helper()
	var v struct{ Runs []runOut }
	w.asks(&v, "runs", "list")
	return v.Runs[0]
}

// adapterOf trains to the end with these settings and returns the adapter's
// identity (the hash of its files) and what happened.
func (w *workplace) adapterOf(set []string) (id, action string) {
	w.t.Helper()
	var v struct {
		Adapter struct{ ID string }
		Action  string
	}
	w.asks(&v, append([]string{"train", "sft"}, set...)...)
	return v.Adapter.ID, v.Action
}

// uncut is the adapter that the slow training makes when nothing disturbs it.
func uncut(t *testing.T) string {
	t.Helper()
	if uncutID == "" {
		w := newWorkplace(t)
		id, action := w.adapterOf(slow)
		if action != "run" {
			t.Fatalf("the slow training was not run but %s", action)
		}
		uncutID = id
	}
	return uncutID
}

var uncutID string

const anyCheckpoint = "*/train/checkpoints/step-*"

// TestKilledTraining: dlm train is killed with kill -9, gone on with by dlm runs
// resume, stopped by Ctrl-C, gone on with by the same command; the adapter has
// the bytes of a run never cut.
func TestKilledTraining(t *testing.T) {
	want := uncut(t)
	w := newWorkplace(t)
	p := w.start(append([]string{"train", "sft"}, slow...)...)
	w.until(p, anyCheckpoint, nil)

	// While it works: reading is free, a second one is refused.
	if r := w.newestRun(); r.Stage != "train" || r.Status != "running" {
		t.Errorf("the newest run is %s, %s; expected train, running", r.Stage, r.Status)
	}
	_, said := w.ends(1, "run")
	if !strings.Contains(said, fmt.Sprintf("another dlm works on this project (process %d, dlm train, since ", p.cmd.Process.Pid)) {
		t.Errorf("a second dlm said %q", said)
	}
	p.stop(t, syscall.SIGKILL)

	r := w.newestRun()
	if r.Status != "cut off" {
		t.Fatalf("after kill -9 the run is %q, expected cut off", r.Status)
	}
	if _, ok := w.oldAdapter(); !ok {
		t.Error("the adapter that was there before is gone")
	}

	// Ctrl-C while the resumed run works.
	p = w.start("runs", "resume", r.ID)
	w.until(p, anyCheckpoint, func(f string) bool { return f > filepath.Join(filepath.Dir(f), "step-00000059") })
	p.stop(t, syscall.SIGINT)
	if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(p.out.String(), "stopped; the same command goes on from here") {
		t.Errorf("Ctrl-C: exit code %d, said\n%s", code, p.out.String())
	}
	if strings.Contains(p.out.String(), "goroutine ") {
		t.Errorf("it panicked\n%s", p.out.String())
	}
	if r2 := w.newestRun(); r2.ID != r.ID || r2.Status != "stopped" {
		t.Errorf("after Ctrl-C run %s is %q, expected %s stopped", r2.ID, r2.Status, r.ID)
	}

	id, action := w.adapterOf(slow)
	if action != "resume" {
		t.Errorf("the same command did %q, expected resume", action)
	}
	if id != want {
		t.Errorf("the adapter cut twice is %s, one never cut %s", id, want)
	}
	if id, action = w.adapterOf(slow); id != want || action != "skip" {
		t.Errorf("once more: %s of %s, expected skip", action, id)
	}
}

// oldAdapter asks through the adapter that the project had from the start.
func (w *workplace) oldAdapter() (string, bool) {
	out, _ := w.ends(0, "generate", "--adapter", "p", "--user", "Customer 7 asks policy about case 12")
	return out, out == "policy\n"
}

// TestStoppedRun: dlm runs stop has the run write its checkpoint and end; dlm
// runs resume goes on.
func TestStoppedRun(t *testing.T) {
	want := uncut(t)
	w := newWorkplace(t)
	p := w.start(append([]string{"train", "sft", "--name", "kept"}, slow...)...)
	w.until(p, anyCheckpoint, nil)
	r := w.newestRun()
	if v := w.documented("dlm runs stop", "runs", "stop", r.ID); v["status"] != "stopped" {
		t.Errorf("runs stop: %q", v["status"])
	}
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("the stopped process ended with %d, expected 1\n%s", code, p.out.String())
	}
	v := w.documented("dlm runs resume", "runs", "resume", r.ID)
	step, err := at(v, "steps[0]")
	if err != nil {
		t.Fatal(err)
	}
	if said := valueText(step); !strings.Contains(said, `"action":"resume"`) || !strings.Contains(said, want) {
		t.Errorf("resumed: %s, expected the adapter %s", said, want)
	}
	if list, _ := w.ends(0, "adapters", "list"); !strings.Contains(list, " kept ") {
		t.Errorf("the resumed run's adapter has lost its name:\n%s", list)
	}
}

// TestKilledEvaluation: what dlm eval had answered when it was killed is not
// asked again, and the report is that of an evaluation never cut.
func TestKilledEvaluation(t *testing.T) {
	args := []string{"eval", "--baselines-only", "--set", "eval.batch=1", "--set", "eval.max_tokens=200"}
	answers := func(w *workplace) []string {
		var v struct {
			Report struct {
				Arms []struct {
					Name    string
					Samples []struct {
						ItemID     string `json:"item_id"`
						Completion string
					}
				}
			}
		}
		w.asks(&v, args...)
		var out []string
		for _, a := range v.Report.Arms {
			for _, s := range a.Samples {
				out = append(out, a.Name+" "+s.ItemID+" "+s.Completion)
			}
		}
		return out
	}
	whole := newWorkplace(t)
	want := answers(whole)

	w := newWorkplace(t)
	p := w.start(args...)
	kept := w.until(p, "*/samples.jsonl", func(f string) bool {
		b, err := os.ReadFile(f)
		return err == nil && bytes.Count(b, []byte("\n")) >= 3
	})
	p.stop(t, syscall.SIGKILL)
	before, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	n := bytes.Count(before, []byte("\n"))
	if n >= len(want) {
		t.Fatalf("killed too late: all %d answers are there", n)
	}
	r := w.newestRun()
	if r.Stage != "baselines" || r.Status != "cut off" {
		t.Fatalf("the newest run is %s, %s", r.Stage, r.Status)
	}
	// As if it had been killed in the middle of a line.
	if err := os.WriteFile(kept, append(before, `{"arm": "zero-`...), 0o644); err != nil {
		t.Fatal(err)
	}
	got := answers(w)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("answers of the cut evaluation:\n%s\nof one never cut:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	after, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(after, before[:bytes.LastIndexByte(before, '\n')+1]) || bytes.Count(after, []byte("\n")) != len(want) {
		t.Errorf("the file of answers was %d lines, is %d (of %d), and does not go on where it was", n, bytes.Count(after, []byte("\n")), len(want))
	}
	if got := w.newestRun(); got.ID != r.ID || got.Status != "done" {
		t.Errorf("run %s is %s; expected run %s, done", got.ID, got.Status, r.ID)
	}
}
