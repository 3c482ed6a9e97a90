//go:build unix

package hub

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// tryLock takes an exclusive lock on the file path, or fails with errLocked.
func tryLock(path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errLocked
		}
		return nil, err
	}
	return func() { f.Close() }, nil
}

// checkSpace refuses a download that cannot fit the disk that dir is on.
func checkSpace(dir string, need int64) error {
	at := dir
	var st unix.Statfs_t
	for unix.Statfs(at, &st) != nil { // dir may not be there yet
		up := filepath.Dir(at)
		if up == at {
			return nil
		}
		at = up
	}
	free := uint64(st.Bavail) * uint64(st.Bsize) //nolint:unconvert // signed on some systems
	if need > 0 && free < uint64(math.MaxInt64) && int64(free) < need {
		return fmt.Errorf("the disk is full: %s needs %d MB more and has %d MB free; free some space or set DLM_CACHE to another disk, then pull again", dir, need>>20+1, free>>20)
	}
	return nil
}
