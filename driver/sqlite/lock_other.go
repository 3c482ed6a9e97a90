//go:build !unix

package sqlite

import (
	"fmt"
	"os"
	"time"
)

// lockFile makes path.lock exclusively and returns the function that removes
// it. A lock older than a minute belongs to a process that died.
func lockFile(path string) (func(), error) {
	path += ".lock"
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err == nil {
			f.Close()
			return func() { os.Remove(path) }, nil
		}
		if info, serr := os.Stat(path); serr == nil && time.Since(info.ModTime()) > time.Minute {
			os.Remove(path)
			continue
		}
		if time.Since(start) > 20*time.Second {
			return nil, fmt.Errorf("%s: held by another process for over 20 seconds; delete it if none is running: %w", path, err)
		}
	}
}

func diskFull(error) bool { return false }

// syncDir does nothing: folders cannot be synced here.
func syncDir(string) error { return nil }
