package sqlite

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a RAM disk of that many bytes.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a small tmpfs here (root only): %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestFullDisk(t *testing.T) {
	ctx, dir := context.Background(), smallDisk(t, "2m")
	s, err := Open(ctx, filepath.Join(dir, ".dlm"), "tester")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	kept := putText(t, s, dlm.KindDataset, "kept", "kept bytes")

	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, bytes.Repeat([]byte("0123456789abcdef"), 1<<18), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = s.Put(ctx, dlm.Artifact{Kind: dlm.KindAdapter, Name: "big"}, big)
	if err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("a file that does not fit: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(s.dir, "tmp")); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}

	// Fill the rest, then let the database run out of space.
	fill, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 4096); ; {
		if _, err := fill.Write(chunk); err != nil {
			break
		}
	}
	fill.Close()
	var full error
	for range 200 {
		if _, full = s.BeginRun(ctx, dlm.Run{Stage: "train", Params: map[string]string{"x": strings.Repeat("x", 4000)}}); full != nil {
			break
		}
	}
	if full == nil || !strings.Contains(full.Error(), "disk is full") {
		t.Errorf("database on a full disk: %v", full)
	}

	// Nothing is lost: not while it is full, not in a new process, not after.
	os.Remove(filepath.Join(dir, "fill"))
	again := openTest(t, filepath.Join(dir, ".dlm"))
	if r, err := again.Open(ctx, kept.Files[0].Digest); err != nil {
		t.Error(err)
	} else {
		r.Close()
	}
	if a, err := again.Find(ctx, dlm.KindDataset, "kept"); err != nil || a.ID != kept.ID {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := again.BeginRun(ctx, dlm.Run{Stage: "train"}); err != nil {
		t.Errorf("with space again: %v", err)
	}
	if all, _ := again.Artifacts(ctx, ""); len(all) != 1 {
		t.Errorf("%d artifacts, want the kept one alone", len(all))
	}
}
