//go:build !unix

package hub

import (
	"errors"
	"os"
)

// tryLock creates the file path, or fails with errLocked where it exists. A
// process that is killed leaves it behind; it is then removed by hand.
func tryLock(path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil, errLocked
	}
	if err != nil {
		return nil, err
	}
	return func() { f.Close(); os.Remove(path) }, nil
}

// checkSpace cannot tell here; a full disk is found when writing.
func checkSpace(string, int64) error { return nil }
