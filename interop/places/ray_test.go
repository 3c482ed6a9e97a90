//go:build linux

package places

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ray starts a cluster of the test's own and returns its address.
func (w *world) ray() string {
	w.t.Helper()
	bin := os.Getenv("DLM_RAY")
	if bin == "" {
		w.t.Skip("DLM_RAY names no ray command (pip install \"ray[default]\")")
	}
	// Short: the names of Ray's sockets must be.
	tmp, err := os.MkdirTemp("", "ray")
	if err != nil {
		w.t.Fatal(err)
	}
	port, dash := freePort(w.t), freePort(w.t)
	cmd := exec.Command(bin, "start", "--head", "--block", "--disable-usage-stats", fmt.Sprintf("--port=%d", port), fmt.Sprintf("--dashboard-port=%d", dash), //nolint:gosec // the peer
		"--dashboard-host=127.0.0.1", "--node-ip-address=127.0.0.1", "--include-dashboard=true", "--num-cpus=2", "--object-store-memory=100000000", "--temp-dir="+tmp)
	log, err := os.Create(filepath.Join(w.dir, "ray.log"))
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
		}
		kill(w.t, func(_, _ int, command string) bool { return strings.Contains(command, tmp) })
		os.RemoveAll(tmp)
	})
	url := fmt.Sprintf("http://127.0.0.1:%d", dash)
	for range 2400 {
		if res, err := http.Get(url + "/api/jobs/"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return url
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	w.t.Fatal("Ray's jobs server does not answer")
	return ""
}

// TestRay trains as a job of a real cluster and kills, in the middle, dlm and the
// training program.
func TestRay(t *testing.T) {
	w := newWorld(t)
	shared := filepath.Join(w.dir, "shared")
	dir := w.project("far", fmt.Sprintf("where: ray, address: \"%s\", gpus: 0, dir: %s, python: %s", w.ray(), shared, w.python))
	r := w.train(dir)
	r.until(6)
	r.has("Ray job dlm-")
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r = w.train(dir)
	r.until(12)
	r.has("attached at step")
	killProgram(t, shared)
	if r.end() == nil {
		t.Error("dlm does not fail with its program")
	}
	r.has("goes on from its last checkpoint")
	r = w.train(dir)
	r.ok()
	if got, want := w.adapter(dir), w.uncut(); got != want {
		t.Errorf("the adapter is %s, that of a run never cut %s", got, want)
	}
}

// TestProcesses trains with two processes on this machine, which exchange
// gradients over gloo: the same steps with the same losses as one.
func TestProcesses(t *testing.T) {
	w := newWorld(t)
	losses := func(r *run) (out []float64) {
		for line := range strings.Lines(r.said()) {
			var step, of int
			var loss float64
			if _, err := fmt.Sscanf(strings.TrimSpace(line), "step %d/%d loss %g", &step, &of, &loss); err == nil && strings.Contains(line, "|grad|") {
				out = append(out, loss)
			}
		}
		return out
	}
	one := w.train(w.project("one", "python: "+w.python))
	one.ok()
	want := losses(one)
	for _, launcher := range []string{"torchrun", "accelerate"} {
		r := w.train(w.project(launcher, fmt.Sprintf("python: %s, processes: 2, launcher: %s", w.python, launcher)))
		r.ok()
		got := losses(r)
		if len(got) != steps || len(want) != steps {
			t.Fatalf("%s: %d steps, one process %d; want %d", launcher, len(got), len(want), steps)
		}
		for i := range got {
			if d := got[i] - want[i]; d > 2e-4 || d < -2e-4 { // printed with four digits
				t.Errorf("%s: step %d: loss %g with two processes, %g with one", launcher, i+1, got[i], want[i])
			}
		}
	}
}
