package lifecycle

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestLockChild is what another process runs: it takes the lock and keeps it.
func TestLockChild(t *testing.T) {
	dir := os.Getenv("DLM_LOCK_DIR")
	if dir == "" {
		t.Skip("started by another test only")
	}
	if _, err := Acquire(dir, "dlm run"); err != nil {
		t.Fatal(err)
	}
	fmt.Println("held")
	time.Sleep(time.Minute)
}

func TestTwoProcessesOnOneProject(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockChild$")
	cmd.Env = append(os.Environ(), "DLM_LOCK_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	for s := bufio.NewScanner(out); s.Scan() && s.Text() != "held"; {
	}
	_, err = Acquire(dir, "dlm train sft")
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", cmd.Process.Pid)) || !strings.Contains(err.Error(), "dlm run") {
		t.Errorf("while another holds it: %v", err)
	}
	cmd.Process.Kill() // as kill -9 does: nothing is cleaned up
	cmd.Wait()
	l, err := Acquire(dir, "dlm train sft")
	if err != nil {
		t.Fatalf("after the holder was killed: %v", err)
	}
	if _, err := Acquire(dir, "dlm run"); !errors.Is(err, ErrLocked) {
		t.Errorf("twice in one process: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	if l, err = Acquire(dir, "dlm run"); err != nil {
		t.Fatalf("after it was released: %v", err)
	}
	l.Release()
}
