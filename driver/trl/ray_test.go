//go:build unix

package trl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dlm"
)

// fakeRay is a jobs server that runs entrypoints with a shell on this machine.
type fakeRay struct {
	t   *testing.T
	url string

	mu    sync.Mutex
	jobs  map[string]*rayJob
	procs map[string]*exec.Cmd
	down  bool
	gpus  any
}

func newFakeRay(t *testing.T) *fakeRay {
	f := &fakeRay{t: t, jobs: map[string]*rayJob{}, procs: map[string]*exec.Cmd{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/jobs/{$}", func(w http.ResponseWriter, _ *http.Request) {
		list := []rayJob{}
		for _, j := range f.jobs {
			list = append(list, *j)
		}
		f.reply(w, list)
	})
	mux.HandleFunc("GET /api/jobs/{id}", func(w http.ResponseWriter, r *http.Request) { f.reply(w, f.jobs[r.PathValue("id")]) })
	mux.HandleFunc("GET /api/jobs/{id}/logs", func(w http.ResponseWriter, _ *http.Request) { f.reply(w, map[string]string{"logs": "said by Ray"}) })
	mux.HandleFunc("POST /api/jobs/{id}/stop", func(w http.ResponseWriter, r *http.Request) {
		if p := f.procs[r.PathValue("id")]; p != nil {
			_ = syscall.Kill(-p.Process.Pid, syscall.SIGKILL)
		}
		f.reply(w, map[string]bool{"stopped": true})
	})
	mux.HandleFunc("POST /api/jobs/{$}", f.submit)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

func (f *fakeRay) reply(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		f.t.Error(err)
	}
}

func (f *fakeRay) submit(w http.ResponseWriter, r *http.Request) {
	var q struct {
		ID      string `json:"submission_id"`
		Command string `json:"entrypoint"`
		GPUs    any    `json:"entrypoint_num_gpus"`
		Env     struct {
			Vars map[string]string `json:"env_vars"`
		} `json:"runtime_env"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		f.t.Error(err)
	}
	if f.jobs[q.ID] != nil {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "Traceback\nValueError: Job with submission_id %s already exists", q.ID)
		return
	}
	cmd := exec.Command("sh", "-c", q.Command) //nolint:gosec // what the code under test submits
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = os.Environ()
	for k, v := range q.Env.Vars {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	if err := cmd.Start(); err != nil {
		f.t.Error(err)
	}
	j := &rayJob{ID: q.ID, Status: "RUNNING", Message: "Job is currently running."}
	f.jobs[q.ID], f.procs[q.ID], f.gpus = j, cmd, q.GPUs
	go func() {
		err := cmd.Wait()
		f.mu.Lock()
		defer f.mu.Unlock()
		j.Status, j.Message = "SUCCEEDED", "Job finished successfully."
		if err != nil {
			j.Status, j.Message = "FAILED", fmt.Sprintf("Job entrypoint command failed with %v, last available logs:\n...", err)
		}
	}()
	f.reply(w, map[string]string{"submission_id": q.ID})
}

func (f *fakeRay) set(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

// on makes a trainer train there.
func (f *fakeRay) on(dir, base string, note func(string)) func(*Options) {
	r, err := NewRay(RayOptions{Address: f.url + "/", Dir: dir, GPUs: 2, Patience: 10 * time.Minute, Note: note})
	if err != nil {
		f.t.Fatal(err)
	}
	return func(o *Options) {
		o.Place, o.PollEvery = r, 10*time.Millisecond
		o.Base = func(context.Context) (string, error) { return base, nil }
	}
}

func smallBase(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "base", "config.json"))
	if err != nil {
		raw = []byte("{}")
	}
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o644), os.WriteFile(filepath.Join(dir, "model.safetensors"), []byte("weights"), 0o644)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRay(t *testing.T) {
	for _, shared := range []bool{true, false} {
		f, j := newFakeRay(t), job(t)
		dir := ""
		if shared {
			dir = filepath.Join(t.TempDir(), "all's")
		}
		var ev events
		r, err := trainer(t, "plain", f.on(dir, smallBase(t), nil)).Train(t.Context(), j, ev.take)
		if err != nil {
			t.Fatalf("shared folder %v: %v", shared, err)
		}
		if r.Steps != 8 || len(ev.steps) != 8 || !strings.HasPrefix(r.Made["where"], "ray http") || fmt.Sprint(f.gpus) != "2" {
			t.Errorf("result %+v, events %+v, gpus %v", r, ev, f.gpus)
		}
		if raw, err := os.ReadFile(filepath.Join(j.Out, "bound")); err != nil || string(raw) != "weights" {
			t.Errorf("the adapter holds %q, %v", raw, err)
		}
		if shared {
			if list, _ := filepath.Glob(filepath.Join(dir, "bases", "*", "model.safetensors")); len(list) != 1 {
				t.Errorf("bases in the shared folder: %v", list)
			}
		}
	}
}

// TestRayLife: cancelled, killed, attached to, out of reach for a while.
func TestRayLife(t *testing.T) {
	f, j, base := newFakeRay(t), job(t), smallBase(t)
	j.Recipe.Epochs = 12
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := trainer(t, "slow", f.on(dir, base, nil)).Train(ctx, j, func(e dlm.TrainEvent) {
		if e.Kind == "step" && e.Step == 4 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	// A dlm that dies: its trainer is left behind, another attaches.
	tr := trainer(t, "slow", f.on(dir, base, nil))
	p := must(tr.prepare(j))
	b := must(tr.bundle(t.Context(), p, p.job.Recipe, j.Dir))
	if begun, err := tr.o.Place.Begin(t.Context(), b); err != nil || begun.Attached {
		t.Fatalf("%+v, %v", begun, err)
	}
	var said string
	var ev events
	other := trainer(t, "slow", f.on(dir, base, func(s string) {
		said += s + "\n"
		if strings.Contains(s, "does not answer") {
			f.set(false)
		}
	}))
	down := false
	_, err = other.Train(t.Context(), j, func(e dlm.TrainEvent) {
		ev.take(e)
		if e.Kind == "step" && e.Step >= 8 && !down {
			down = true
			f.set(true)
		}
	})
	if err != nil || !strings.Contains(ev.notes, "attached") || len(f.jobs) != 2 {
		t.Errorf("attached: %v; %d jobs; notes %s", err, len(f.jobs), ev.notes)
	}
	if !strings.Contains(said, "does not answer") || !strings.Contains(said, "answers again") {
		t.Errorf("notes: %s", said)
	}

	// Killed on the other side: its last words, then resumed.
	j = job(t)
	killer := trainer(t, "hangs", f.on(dir, base, nil))
	_, err = killer.Train(t.Context(), j, func(e dlm.TrainEvent) {
		if e.Kind == "step" && e.Step == 2 {
			b := must(killer.bundle(t.Context(), must(killer.prepare(j)), must(killer.prepare(j)).job.Recipe, j.Dir))
			if err := killer.o.Place.Kill(t.Context(), b); err != nil {
				t.Error(err)
			}
		}
	})
	var fail *Failure
	if !errors.As(err, &fail) || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("killed: %v", err)
	}
	if r, err := trainer(t, "plain", f.on(dir, base, nil)).Train(t.Context(), j, nil); err != nil || r.Resumed != 2 {
		t.Errorf("resumed: %+v, %v", r, err)
	}
}

func TestRayRefused(t *testing.T) {
	for _, o := range []RayOptions{{Address: "ray://head:10001"}, {Dir: "relative"}} {
		if _, err := NewRay(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	r := must(NewRay(RayOptions{Address: "http://127.0.0.1:1"}))
	if _, _, err := r.Poll(t.Context(), Bundle{Dir: t.TempDir()}, 0); err == nil || !strings.Contains(err.Error(), "trl.address") {
		t.Errorf("nobody there: %v", err)
	}
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	r = must(NewRay(RayOptions{Address: s.URL}))
	if _, _, err := r.Poll(t.Context(), Bundle{Dir: t.TempDir()}, 0); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("not Ray: %v", err)
	}
}

func TestLaunch(t *testing.T) {
	for _, c := range []struct {
		launcher  string
		processes int
		gpu       bool
		want      string
	}{
		{"", 0, true, "py -u"},
		{"", 1, true, "py -u"},
		{"", 2, false, "py -u -m torch.distributed.run --standalone --nproc-per-node 2"},
		{"torchrun", 1, true, "py -u -m torch.distributed.run --standalone --nproc-per-node 1"},
		{"accelerate", 4, true, "py -u -m accelerate.commands.launch --num_machines 1 --num_processes 4 --mixed_precision no --dynamo_backend no --multi_gpu"},
	} {
		got, err := launch("py", c.launcher, c.processes, c.gpu)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
	if _, err := launch("py", "deepspeed", 2, true); err == nil {
		t.Error("an unknown launcher was accepted")
	}
}
