package lora

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ReplaceFolder makes the folder dir hold exactly what fill writes into the
// empty folder it is given: all of it or, on an error, nothing, with what stood
// in dir before left as it was. Files are synced before the folder gets its
// name, so a power cut cannot leave a folder with half a file.
func ReplaceFolder(dir string, fill func(tmp string) error) (err error) {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".tmp-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }() // gone already after a rename
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := fill(tmp); err != nil {
		return err
	}
	if err := syncTree(tmp); err != nil {
		return err
	}
	return swapIn(tmp, dir, parent)
}

// swapIn gives tmp the name dir. A folder cannot be renamed over one with
// content: the two exchange their names where the system can do that in one
// step; elsewhere the old one is moved aside first, and back if the second
// rename fails.
func swapIn(tmp, dir, parent string) error {
	if exchange(tmp, dir) == nil {
		return errors.Join(syncPath(parent), os.RemoveAll(tmp))
	}
	return moveAside(tmp, dir, parent)
}

// moveAside is swapIn in two steps.
func moveAside(tmp, dir, parent string) error {
	old := tmp + "-old"
	err := os.Rename(dir, old)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = ""
	case err != nil:
		return fmt.Errorf("cannot replace %s: %w", dir, err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		if old != "" {
			err = errors.Join(err, os.Rename(old, dir))
		}
		return err
	}
	if err := syncPath(parent); err != nil {
		return err
	}
	if old != "" {
		return os.RemoveAll(old)
	}
	return nil
}

// syncTree syncs every file and folder below root.
func syncTree(root string) error {
	return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncPath(path)
	})
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
