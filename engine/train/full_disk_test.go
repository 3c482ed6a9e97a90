//go:build linux

package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/lora"
)

// TestFullDisk trains on a file system too small for the third checkpoint.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	one := lora.New(m, adapterConfig(), 3).Parameters() * 12 // bytes of a checkpoint's tensors
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", one*5/2)); err != nil {
		t.Skipf("a small file system cannot be mounted here (it takes root): %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	}()
	cfg := short()
	_, _, err := start(t, context.Background(), dir, cfg, nil)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("error %v, expected that the disk is full", err)
	}
	for _, want := range []string{"checkpoint of step", "the disk is full", "free some space", "intact"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	steps, lerr := checkpointSteps(dir)
	if lerr != nil || len(steps) == 0 {
		t.Fatalf("checkpoints %v, error %v: none is left", steps, lerr)
	}
	if _, err := readState(stepDir(dir, steps[0])); err != nil {
		t.Errorf("the older checkpoint is not intact: %v", err)
	}
	entries, err := os.ReadDir(stepDir(dir, 0) + "/..")
	if err == nil && len(entries) != len(steps) {
		t.Errorf("half a checkpoint was left: %v", entries)
	}
	// With more room the same run goes on and ends as if nothing had happened.
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=16m"); err != nil {
		t.Fatal(err)
	}
	a, res, err := start(t, context.Background(), dir, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := whole(t, cfg)
	if res.Resumed != steps[0] || valueHash(a) != want {
		t.Errorf("resumed from step %d (newest was %d); same adapter: %v", res.Resumed, steps[0], valueHash(a) == want)
	}
}
