//go:build unix

package trl

import (
	"context"
	"errors"
	"fmt"
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

// fakeSSH is a command named ssh that runs what it is given on this machine, with
// the banner of a chatty login shell before it. While the file "down" beside it is
// there, it cannot connect.
const fakeSSH = `#!/bin/sh
for last; do :; done
if test -e "$(dirname "$0")/down"; then echo "ssh: connect to host box port 22: Connection refused" >&2; exit 255; fi
echo "Welcome to the box"
echo $$ >> "$(dirname "$0")/pids"
exec sh -c "exec $last"
`

// farAway is another machine that is a folder of this one.
type farAway struct {
	t    *testing.T
	bin  string // holds the command ssh
	dir  string // the place's folder there
	base string // of a base, on this side

	mu    sync.Mutex
	notes string
}

func newFarAway(t *testing.T) *farAway {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("the other machine's side is Python, and there is no python3 here")
	}
	f := &farAway{t: t, bin: t.TempDir(), dir: filepath.Join(t.TempDir(), "a box's"), base: t.TempDir()}
	if err := os.WriteFile(filepath.Join(f.bin, "ssh"), []byte(fakeSSH), 0o755); err != nil { //nolint:gosec // a command
		t.Fatal(err)
	}
	for name, text := range map[string]string{"config.json": tinyConfig, "model.safetensors": strings.Repeat("weights ", 1<<20)} {
		if err := os.WriteFile(filepath.Join(f.base, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", f.bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return f
}

func (f *farAway) note(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notes += text + "\n"
	if strings.Contains(text, "is lost") {
		time.AfterFunc(400*time.Millisecond, func() { os.Remove(filepath.Join(f.bin, "down")) })
	}
}

func (f *farAway) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.notes
}

func (f *farAway) place() *SSH {
	f.t.Helper()
	s, err := NewSSH(SSHOptions{Host: "user@box", Dir: f.dir, Note: f.note, Patience: 10 * time.Minute, noRsync: true})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { s.Close() })
	return s
}

// on makes a trainer train there.
func (f *farAway) on(s *SSH) func(*Options) {
	return func(o *Options) {
		o.Place, o.PollEvery = s, 10*time.Millisecond
		o.Base = func(context.Context) (string, error) { return f.base, nil }
	}
}

// cut ends the newest connection.
func (f *farAway) cut() {
	f.t.Helper()
	raw, err := os.ReadFile(filepath.Join(f.bin, "pids"))
	if err != nil {
		f.t.Fatal(err)
	}
	lines := strings.Fields(string(raw))
	var pid int
	if _, err := fmt.Sscan(lines[len(lines)-1], &pid); err != nil {
		f.t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) { // cut already
		f.t.Error(err)
	}
}

// glob returns the paths there that fit a pattern.
func (f *farAway) glob(pattern string) []string {
	list, err := filepath.Glob(filepath.Join(f.dir, pattern))
	if err != nil {
		f.t.Fatal(err)
	}
	return list
}

func (f *farAway) startsThere() int {
	n := 0
	for _, p := range f.glob("jobs/*/starts") {
		raw, err := os.ReadFile(p)
		if err != nil {
			f.t.Fatal(err)
		}
		n += strings.Count(string(raw), "\n")
	}
	return n
}

func TestSSH(t *testing.T) {
	f := newFarAway(t)
	j := job(t)
	tr := trainer(t, "plain", f.on(f.place()))
	var ev events
	r, err := tr.Train(t.Context(), j, ev.take)
	if err != nil {
		t.Fatal(err)
	}
	if r.Steps != 8 || len(ev.steps) != 8 || r.Made["where"] != "ssh user@box" {
		t.Errorf("result %+v, events %+v", r, ev)
	}
	if raw, err := os.ReadFile(filepath.Join(j.Out, "bound")); err != nil || string(raw) != "weights" {
		t.Errorf("the adapter holds %q, %v", raw, err)
	}
	bases := f.glob("bases/*")
	if len(bases) != 1 || !strings.Contains(f.said(), "sending the base") {
		t.Fatalf("bases %v, notes %s", bases, f.said())
	}
	a, err1 := fileDigest(filepath.Join(f.base, "model.safetensors"))
	b, err2 := fileDigest(filepath.Join(bases[0], "model.safetensors"))
	if a != b || errors.Join(err1, err2) != nil {
		t.Errorf("the base arrived as %s, want %s: %v", b, a, errors.Join(err1, err2))
	}
	raw, err := os.ReadFile(f.glob("jobs/*/" + JobFile)[0])
	if err != nil || !strings.Contains(string(raw), bases[0]) {
		t.Errorf("the job over there names another base: %s, %v", raw, err)
	}

	// The next job finds the base there, and a finished one is not run again.
	before := strings.Count(f.said(), "sending the base")
	j2 := job(t)
	if _, err := tr.Train(t.Context(), j2, nil); err != nil {
		t.Error(err)
	}
	if _, err := tr.Train(t.Context(), j2, nil); err != nil || f.startsThere() != 2 {
		t.Errorf("%v; %d programs, want 2", err, f.startsThere())
	}
	if strings.Count(f.said(), "sending the base") != before {
		t.Error("the base was sent again")
	}
}

// TestSSHLost: the connection is lost, more than once and for a while; training
// goes on and is followed again, and no event is missed or seen twice.
func TestSSHLost(t *testing.T) {
	f := newFarAway(t)
	j := job(t)
	j.Recipe.Epochs = 12
	tr := trainer(t, "slow", f.on(f.place()))
	var ev events
	r, err := tr.Train(t.Context(), j, func(e dlm.TrainEvent) {
		ev.take(e)
		if e.Kind != "step" {
			return
		}
		switch e.Step {
		case 3:
			f.cut()
		case 10:
			if err := os.WriteFile(filepath.Join(f.bin, "down"), nil, 0o644); err != nil {
				t.Error(err)
			}
			f.cut()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Steps != 48 || len(ev.steps) != 48 || f.startsThere() != 1 {
		t.Errorf("%d steps, %d seen, %d programs", r.Steps, len(ev.steps), f.startsThere())
	}
	for i, s := range ev.steps {
		if s != i+1 {
			t.Fatalf("step %d is seen as number %d", s, i+1)
		}
	}
	// Twice, unless this process slept through the program's whole life.
	if n := f.said(); strings.Count(n, "is lost") < 1 || strings.Count(n, "answers again") != strings.Count(n, "is lost") || !strings.Contains(n, "Connection refused") && !strings.Contains(n, "connection ended") {
		t.Errorf("notes: %s", n)
	}
}

// TestSSHAttach: a dlm that died is followed by another, which finds the program.
func TestSSHAttach(t *testing.T) {
	f := newFarAway(t)
	j := job(t)
	j.Recipe.Epochs = 10
	first := f.place()
	tr := trainer(t, "slow", f.on(first))
	b, err := tr.bundle(t.Context(), must(tr.prepare(j)), must(tr.prepare(j)).job.Recipe, j.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if begun, err := first.Begin(t.Context(), b); err != nil || begun.Attached {
		t.Fatalf("%+v, %v", begun, err)
	}
	first.Close() // as the system does when dlm dies
	var ev events
	r, err := trainer(t, "slow", f.on(f.place())).Train(t.Context(), j, ev.take)
	if err != nil || r.Steps != 40 || f.startsThere() != 1 || !strings.Contains(ev.notes, "attached") {
		t.Errorf("%+v, %v; %d programs; notes %s", r, err, f.startsThere(), ev.notes)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestSSHEnds: stopped, killed, died with last words, resumed.
func TestSSHEnds(t *testing.T) {
	f := newFarAway(t)
	j := job(t)
	j.Recipe.Epochs = 12
	s := f.place()

	// Cancelled: it writes a checkpoint and ends.
	ctx, cancel := context.WithCancel(t.Context())
	_, err := trainer(t, "slow", f.on(s)).Train(ctx, j, func(e dlm.TrainEvent) {
		if e.Kind == "step" && e.Step == 5 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	// Killed with everything it started: its end is told, and it is resumed.
	killed := false
	_, err = trainer(t, "slow", f.on(s)).Train(t.Context(), j, func(e dlm.TrainEvent) {
		if e.Kind == "step" && e.Step >= 12 && !killed {
			killed = true
			if err := exec.Command("kill", "-9", lastStart(f)).Run(); err != nil {
				t.Error(err)
			}
		}
	})
	var fail *Failure
	if !errors.As(err, &fail) || !strings.Contains(err.Error(), "SIGKILL") || !strings.Contains(err.Error(), "goes on from its last checkpoint") {
		t.Errorf("killed: %v", err)
	}
	// Place.Kill ends it.
	ended := false
	_, err = trainer(t, "slow", f.on(s)).Train(t.Context(), j, func(e dlm.TrainEvent) {
		if e.Kind == "step" && !ended {
			ended = true
			if _, err := f.place().box.ask(t.Context(), request{Do: "kill", Folder: filepath.Dir(f.glob("jobs/*/starts")[0])}); err != nil {
				t.Error(err)
			}
		}
	})
	if !errors.As(err, &fail) {
		t.Errorf("ended by Kill: %v", err)
	}
	r, err := trainer(t, "plain", f.on(s)).Train(t.Context(), j, nil)
	if err != nil || r.Resumed == 0 || f.startsThere() != 4 {
		t.Errorf("%+v, %v; %d programs", r, err, f.startsThere())
	}

	// Its last words come back.
	j = job(t)
	if _, err = trainer(t, "dies", f.on(f.place())).Train(t.Context(), j, nil); err == nil || !strings.Contains(err.Error(), "the fan fell off") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("died: %v", err)
	}
	if raw, err := os.ReadFile(filepath.Join(j.Dir, BundleDir, LogFile)); err != nil || !strings.Contains(string(raw), "warming up") {
		t.Errorf("the log on this side: %q, %v", raw, err)
	}
}

// lastStart is the process number of the program that was started last.
func lastStart(f *farAway) string {
	raw, err := os.ReadFile(f.glob("jobs/*/starts")[0])
	if err != nil {
		f.t.Fatal(err)
	}
	lines := strings.Fields(string(raw))
	return lines[len(lines)-1]
}

// TestSSHRefused: what cannot be reached, and why.
func TestSSHRefused(t *testing.T) {
	f := newFarAway(t)
	if _, err := NewSSH(SSHOptions{Host: "-oProxyCommand=x"}); err == nil {
		t.Error("a host that is an option was accepted")
	}
	s, err := NewSSH(SSHOptions{Host: "box", Python: "no-such-python"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Device(t.Context()); err == nil || !strings.Contains(err.Error(), "trl.python") {
		t.Errorf("no Python there: %v", err)
	}
	deny := "#!/bin/sh\necho 'user@box: Permission denied (publickey).' >&2\nexit 255\n"
	if err := os.WriteFile(filepath.Join(f.bin, "ssh"), []byte(deny), 0o755); err != nil { //nolint:gosec // a command
		t.Fatal(err)
	}
	_, err = trainer(t, "plain", f.on(f.place())).Train(t.Context(), job(t), nil)
	if err == nil || !strings.Contains(err.Error(), "Permission denied") || !strings.Contains(err.Error(), "trl.identity") {
		t.Errorf("denied: %v", err)
	}
}

// TestSSHSendResumes: a file that was cut off is sent from there on, and damage is found.
func TestSSHSendResumes(t *testing.T) {
	f := newFarAway(t)
	s := f.place()
	folder := filepath.Join(f.dir, "x")
	from := filepath.Join(f.base, "model.safetensors")
	whole := must(os.ReadFile(from))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(folder, "m.part")
	if err := os.WriteFile(part, whole[:5<<20], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.send(t.Context(), from, folder, "m"); err != nil {
		t.Fatal(err)
	}
	if got := must(os.ReadFile(filepath.Join(folder, "m"))); string(got) != string(whole) {
		t.Error("the file differs")
	}
	if err := os.WriteFile(part, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.send(t.Context(), from, folder, "m"); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged beginning: %v", err)
	}
	if err := s.send(t.Context(), from, folder, "m"); err != nil {
		t.Error(err)
	}
	if _, err := s.box.ask(t.Context(), request{Do: "put", Folder: folder, Name: "../out", data: []byte("x")}); err == nil {
		t.Error("a name that leads out of the folder was written")
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"size": 3, "files": {"a": {"bytes": 1}}, "running": true}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if a, err := parseAnswer(text); err == nil && a.Size < 0 {
			t.Error("a negative size")
		}
	})
}

// tinyConfig is a base's config.json, as far as plans read it.
const tinyConfig = `{"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
 "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 300, "tie_word_embeddings": true}`
