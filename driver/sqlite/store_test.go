package sqlite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dlm"
	"dlm/internal/testkit"
)

func openTest(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(context.Background(), dir, "tester")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	testkit.Store(t, func(t *testing.T) func() dlm.Store {
		dir := filepath.Join(t.TempDir(), "with ? and # and %41", ".dlm")
		return func() dlm.Store { return openTest(t, dir) }
	})
}

func putText(t *testing.T, s *Store, kind dlm.Kind, name, text string) dlm.Artifact {
	t.Helper()
	p := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := s.Put(context.Background(), dlm.Artifact{Kind: kind, Name: name}, p)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The id is part of the format: it must not change between versions.
func TestManifestIDIsStable(t *testing.T) {
	s := openTest(t, t.TempDir())
	a := putText(t, s, dlm.KindDataset, "x", "hello\n")
	// printf 'dlm artifact 1\nkind dataset\nsha256:%s 6 "file.txt"\n' "$(printf 'hello\n' | sha256sum | cut -c1-64)" | sha256sum
	const want = "sha256:48fc8e200e5c10e3a5e62726fa314b201a9ee2349434518a7ae068110cf51a56"
	if string(a.ID) != want {
		t.Errorf("id %s, want %s", a.ID, want)
	}
}

func TestDamagedBlobIsDetected(t *testing.T) {
	ctx, s := context.Background(), openTest(t, t.TempDir())
	a := putText(t, s, dlm.KindDataset, "x", "the right bytes")
	blob := s.blobPath(a.Files[0].Digest)
	if err := os.Chmod(blob, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blob, []byte("the wrong bytes"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(ctx, a.Files[0].Digest); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("open: %v", err)
	}
	if _, err := s.Materialise(ctx, a.ID); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("materialise: %v", err)
	}
	// Making it again heals it.
	putText(t, s, dlm.KindDataset, "x", "the right bytes")
	if r, err := s.Open(ctx, a.Files[0].Digest); err != nil {
		t.Errorf("after a second put: %v", err)
	} else {
		r.Close()
	}
}

func TestTamperedTreeIsLaidOutAnew(t *testing.T) {
	ctx, s := context.Background(), openTest(t, t.TempDir())
	a := putText(t, s, dlm.KindDataset, "x", "right")
	dir, err := s.Materialise(ctx, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(dir, "file.txt")
	os.Remove(p) // as an editor does: a new file under the old name
	if err := os.WriteFile(p, []byte("wrong"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "extra"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if dir, err = s.Materialise(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(p); string(b) != "right" {
		t.Errorf("content %q", b)
	}
	if _, err := os.Stat(filepath.Join(dir, "extra")); err == nil {
		t.Error("the extra file is still there")
	}
}

func TestLinksAreRefused(t *testing.T) {
	s, dir := openTest(t, t.TempDir()), t.TempDir()
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "link")); err != nil {
		t.Skip("no symbolic links here")
	}
	if _, err := s.Put(context.Background(), dlm.Artifact{Kind: dlm.KindDataset}, dir); err == nil {
		t.Error("a symbolic link was stored")
	}
}

func TestHistoryCannotBeRewritten(t *testing.T) {
	ctx, s := context.Background(), openTest(t, t.TempDir())
	a := putText(t, s, dlm.KindAdapter, "x", "1")
	if err := s.SetAlias(ctx, dlm.AliasChange{Alias: "prod", Adapter: a.ID, Why: "promote"}); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{`UPDATE alias_changes SET why = 'x'`, `DELETE FROM alias_changes`} {
		if _, err := s.db.Exec(q); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	if _, err := s.db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(context.Background(), dir, ""); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("open: %v", err)
	}
}

func TestDamagedDatabaseIsSaid(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dlm.db"), []byte(strings.Repeat("no database ", 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), dir, ""); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("open: %v", err)
	}
}

func TestReusedPIDIsNotTheOldRun(t *testing.T) {
	ctx, s := context.Background(), openTest(t, t.TempDir())
	r, err := s.BeginRun(ctx, dlm.Run{Stage: "train"})
	if err != nil {
		t.Fatal(err)
	}
	if start, ok := processStart(os.Getpid()); !ok || start == "" {
		t.Skip("start times of processes are not known here")
	}
	machine, boot, ns := whereabouts()
	for process, want := range map[string]dlm.RunStatus{
		strings.Join([]string{machine, boot, ns, "1"}, "|"):          dlm.RunCancelled, // same pid, started earlier
		strings.Join([]string{machine, "other boot", ns, "1"}, "|"):  dlm.RunCancelled,
		strings.Join([]string{"elsewhere", boot, ns, "1"}, "|"):      dlm.RunRunning, // not ours to judge
		strings.Join([]string{machine, boot, "container", "1"}, "|"): dlm.RunRunning,
	} {
		if _, err := s.db.Exec(`UPDATE runs SET process = ?`, process); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Run(ctx, r.ID); err != nil || got.Status != want {
			t.Errorf("%s: %s, %v; want %s", process, got.Status, err, want)
		}
	}
}

// child runs this test binary again as another process that executes f.
func child(t *testing.T, f, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), "DLM_SQLITE_CHILD="+f, "DLM_SQLITE_DIR="+dir, "DLM_SQLITE_ARGS="+strings.Join(args, "\n"))
	return cmd
}

// TestChild is what child processes run; alone it does nothing.
func TestChild(t *testing.T) {
	f, dir := os.Getenv("DLM_SQLITE_CHILD"), os.Getenv("DLM_SQLITE_DIR")
	if f == "" {
		t.Skip("started by other tests only")
	}
	ctx := context.Background()
	args := strings.Split(os.Getenv("DLM_SQLITE_ARGS"), "\n")
	s := openTest(t, dir)
	switch f {
	case "write":
		for i := range 20 {
			a := putText(t, s, dlm.KindAdapter, args[0], fmt.Sprintf("%s %d", args[0], i))
			shared := putText(t, s, dlm.KindDataset, "shared", fmt.Sprintf("shared %d", i))
			if _, err := s.Materialise(ctx, shared.ID); err != nil {
				t.Fatal(err)
			}
			r, err := s.BeginRun(ctx, dlm.Run{Stage: args[0]})
			if err != nil {
				t.Fatal(err)
			}
			r.Status, r.Outputs = dlm.RunDone, []dlm.Digest{a.ID}
			if err := s.UpdateRun(ctx, r); err != nil {
				t.Fatal(err)
			}
			if err := s.SetAlias(ctx, dlm.AliasChange{Alias: "prod", Adapter: a.ID, Why: args[0]}); err != nil {
				t.Fatal(err)
			}
		}
	case "run":
		r, err := s.BeginRun(ctx, dlm.Run{Stage: "train"})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("run:" + r.ID)
		time.Sleep(time.Minute)
	}
}

func TestTwoProcessesAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".dlm") // made by whichever child is first
	var cmds []*exec.Cmd
	for _, name := range []string{"ann", "bob", "cem"} {
		c := child(t, "write", dir, name)
		c.Stdout, c.Stderr = os.Stderr, os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, c)
	}
	for _, c := range cmds {
		if err := c.Wait(); err != nil {
			t.Errorf("child: %v", err)
		}
	}
	ctx, s := context.Background(), openTest(t, dir)
	adapters, err := s.Artifacts(ctx, dlm.KindAdapter)
	if err != nil || len(adapters) != 60 {
		t.Errorf("%d adapters, %v; want 60", len(adapters), err)
	}
	data, err := s.Artifacts(ctx, dlm.KindDataset)
	if err != nil || len(data) != 20 {
		t.Errorf("%d datasets, %v; want 20", len(data), err)
	}
	runs, err := s.Runs(ctx)
	if err != nil || len(runs) != 60 {
		t.Errorf("%d runs, %v; want 60", len(runs), err)
	}
	if h, err := s.History(ctx, "prod"); err != nil || len(h) != 60 {
		t.Errorf("%d alias changes, %v; want 60", len(h), err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func TestKilledProcessLeavesItsRunCutOff(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := openTest(t, dir)
	c := child(t, "run", dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var id string
	buf := make([]byte, 4096)
	for id == "" {
		n, err := out.Read(buf)
		if err != nil {
			t.Fatal("child ended early:", err)
		}
		if _, rest, ok := strings.Cut(string(buf[:n]), "run:"); ok {
			id = strings.TrimSpace(rest)
		}
	}
	if r, err := s.Run(ctx, id); err != nil || r.Status != dlm.RunRunning {
		t.Errorf("while it runs: %s, %v", r.Status, err)
	}
	c.Process.Kill()
	c.Wait()
	r, err := s.Run(ctx, id)
	if err != nil || r.Status != dlm.RunCancelled {
		t.Errorf("after kill -9: %s, %v; want cut off", r.Status, err)
	}
	// Another process takes it over.
	r.Status, r.PID = dlm.RunRunning, os.Getpid()
	if err := s.UpdateRun(ctx, r); err != nil {
		t.Fatal(err)
	}
	if r, err = s.Run(ctx, id); err != nil || r.Status != dlm.RunRunning {
		t.Errorf("taken over: %s, %v", r.Status, err)
	}
}

// Many runs that start within one millisecond get ids of their own.
func TestRunIDsDoNotCollide(t *testing.T) {
	ctx, s := context.Background(), openTest(t, t.TempDir())
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	seen := map[string]bool{}
	for range 60 {
		r, err := s.BeginRun(ctx, dlm.Run{Stage: "x", Started: at})
		if err != nil {
			t.Fatal(err)
		}
		if seen[r.ID] || !strings.HasPrefix(r.ID, "r-260102-030405-006") {
			t.Errorf("id %s", r.ID)
		}
		seen[r.ID] = true
	}
	if _, err := s.BeginRun(ctx, dlm.Run{ID: "r-mine", Stage: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.BeginRun(ctx, dlm.Run{ID: "r-mine", Stage: "x"}); err == nil {
		t.Error("a given id was taken twice")
	}
}

func TestWritersAndReadersInOneProcess(t *testing.T) {
	ctx, s := context.Background(), openTest(t, t.TempDir())
	errs := make(chan error, 8)
	for w := range 8 {
		go func() {
			var err error
			for i := 0; i < 10 && err == nil; i++ {
				if _, err = s.BeginRun(ctx, dlm.Run{Stage: fmt.Sprint(w)}); err == nil {
					_, err = s.Runs(ctx)
				}
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if runs, err := s.Runs(ctx); err != nil || len(runs) != 80 {
		t.Errorf("%d runs, %v; want 80", len(runs), err)
	}
}
