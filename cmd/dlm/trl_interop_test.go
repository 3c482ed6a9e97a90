//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dlm/driver/trl"
)

// TestKilledTRL: with the real TRL, first the training program and then dlm are
// killed with kill -9. The program's death is an error with how it ended, and the
// same command goes on from its checkpoint; dlm's death does not touch the program,
// and the same command attaches to it. The adapter has the bytes of a run that was
// never cut.
func TestKilledTRL(t *testing.T) {
	python := os.Getenv("DLM_PYTHON")
	if os.Getenv("DLM_INTEROP") != "1" || python == "" {
		t.Skip("set DLM_INTEROP=1, and DLM_PYTHON to a Python with torch, trl and peft, to run it")
	}
	set := []string{"--threads", "1", "--set", "trainer=trl", "--set", "train.precision=f32", "--set", "train.max_steps=150", "--set", "train.save_every=2",
		"--set", "train.eval_every=50", "--set", "train.samples=0"}
	place := func() *workplace {
		w := newWorkplace(t)
		w.env = append(w.env, "DLM_TRL_PYTHON="+python)
		return w
	}
	want, _ := place().adapterOf(set)

	w := place()
	args := append([]string{"train", "sft"}, set...)
	p := w.start(args...)
	w.steps(p, 5)
	kill(t, w.child())
	<-p.done
	if out := p.out.String(); p.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out, "signal: killed") || !strings.Contains(out, "the same command goes on") {
		t.Errorf("after kill -9 of the program: %v\n%s", p.cmd.ProcessState, out)
	}
	if r := w.newestRun(); r.Status != "failed" {
		t.Errorf("the run is %s", r.Status)
	}

	p = w.start(args...)
	seen := w.steps(p, 20)
	child := w.child()
	p.stop(t, syscall.SIGKILL)
	if err := syscall.Kill(child, 0); err != nil {
		t.Fatalf("the program died with dlm: %v\n%s", err, p.out.String())
	}
	t.Logf("the program was killed, resumed, and went on without dlm at step %d", seen)

	p = w.start(args...)
	<-p.done
	out := p.out.String()
	if !strings.Contains(out, "attached at step") || p.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("the same command after kill -9 of dlm: %v\n%s", p.cmd.ProcessState, out)
	}
	id, action := w.adapterOf(set)
	if id != want || action != "skip" {
		t.Errorf("the adapter is %s, of a run never cut %s (%s)", id, want, action)
	}
	if n := len(w.told("start")); n != 2 {
		t.Errorf("%d programs were started, expected 2", n)
	}
	done := w.told("done")
	if len(done) != 1 || done[0].Resumed < 4 {
		t.Errorf("done: %+v", done)
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// told are the events of a kind that the runs begun here have told of.
func (w *workplace) told(kind string) (out []trl.Event) {
	for _, f := range w.glob(filepath.Join("*", "train", trl.BundleDir, trl.EventsFile)) {
		raw, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			var e trl.Event
			if json.Unmarshal([]byte(line), &e) == nil && e.Kind == kind {
				out = append(out, e)
			}
		}
	}
	return out
}

// steps waits until a step has been made while p works, and returns the newest.
func (w *workplace) steps(p *process, least int) int {
	w.t.Helper()
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if made := w.told("step"); len(made) > 0 && made[len(made)-1].Step >= least {
			return made[len(made)-1].Step
		}
		select {
		case <-p.done:
			w.t.Fatalf("it ended before step %d\n%s", least, p.out.String())
		default:
		}
	}
	w.t.Fatalf("step %d was not made in time\n%s", least, p.out.String())
	return 0
}

// child is the process number of the training program.
func (w *workplace) child() int {
	w.t.Helper()
	starts := w.told("start")
	if len(starts) == 0 || starts[len(starts)-1].PID <= 1 {
		w.t.Fatal(fmt.Sprint("which process trains is not told: ", starts))
	}
	return starts[len(starts)-1].PID
}
