//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullDisk: the disk fills up while dlm train writes a checkpoint. The error
// says so, what was there before is unharmed, and once there is room the same
// command goes on to the adapter of a run that was never disturbed.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system takes root")
	}
	want := uncut(t)
	w := newWorkplace(t)
	disk := filepath.Join(filepath.Dir(w.dir), "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	w.dir = filepath.Join(disk, "p")
	w.fill()

	// Leave room for what comes before the first checkpoints, not for many.
	fill := filepath.Join(disk, "fill")
	if err := os.WriteFile(fill, make([]byte, free(t, disk)-900<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := w.command(append([]string{"train", "sft"}, slow...)...)
	out, err := cmd.CombinedOutput()
	said := string(out)
	if cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("exit code %d, expected 1 (%v)\n%s", cmd.ProcessState.ExitCode(), err, said)
	}
	last := said[strings.LastIndex(strings.TrimSpace(said), "\n")+1:]
	if !strings.Contains(last, "no space left") && !strings.Contains(last, "disk is full") || !strings.Contains(last, "step-") {
		t.Errorf("the error does not say that the disk is full while writing a checkpoint: %s", last)
	}
	if r := w.newestRun(); r.Stage != "train" || r.Status == "done" {
		t.Errorf("the newest run is %s, %s", r.Stage, r.Status)
	}
	if got, ok := w.oldAdapter(); !ok {
		t.Errorf("the adapter that was there before answers %q", got)
	}

	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	id, action := w.adapterOf(slow)
	if action != "resume" || id != want {
		t.Errorf("with room again: %s, adapter %s; expected resume, %s", action, id, want)
	}
	if out, err := exec.Command("find", w.dir, "-name", "*.tmp*").Output(); err == nil && len(out) > 0 {
		t.Errorf("left behind: %s", out)
	}
}

func free(t *testing.T, dir string) int64 {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}
