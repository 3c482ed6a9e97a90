package lora

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestReplaceFolderIsAllOrNothing(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "x")
	write(t, dir, "old")
	broken := errors.New("half way")
	err := ReplaceFolder(dir, func(tmp string) error {
		write(t, tmp, "new")
		return broken
	})
	if !errors.Is(err, broken) || folder(t, dir)["f"] != "old" {
		t.Errorf("error %v, content %v", err, folder(t, dir))
	}
	if err := ReplaceFolder(dir, func(tmp string) error { write(t, tmp, "new"); return nil }); err != nil {
		t.Fatal(err)
	}
	if folder(t, dir)["f"] != "new" {
		t.Errorf("content %v", folder(t, dir))
	}
	if entries, _ := os.ReadDir(parent); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestMoveAside covers systems that cannot exchange two names in one step.
func TestMoveAside(t *testing.T) {
	parent := t.TempDir()
	dir, tmp := filepath.Join(parent, "x"), filepath.Join(parent, ".x.tmp-1")
	for _, text := range []string{"first", "second"} {
		write(t, tmp, text)
		if err := moveAside(tmp, dir, parent); err != nil {
			t.Fatal(err)
		}
		if folder(t, dir)["f"] != text {
			t.Errorf("content %v", folder(t, dir))
		}
	}
	if err := moveAside(filepath.Join(parent, "absent"), dir, parent); err == nil || folder(t, dir)["f"] != "second" {
		t.Errorf("error %v: the old folder must stay", err)
	}
	if entries, _ := os.ReadDir(parent); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}
