//go:build unix

package trl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock makes sure that one dlm at a time follows the job in dir. The system lets
// go of it when the process ends, however it ends.
func lock(dir string) (unlock func(), err error) {
	return lockFile(filepath.Join(dir, "lock"), "another process is training in "+dir+"; wait for it, stop it, or use another folder")
}

// lockFile locks one file for this process; busy is the error when another has it.
func lockFile(path, busy string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New(busy)
		}
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
