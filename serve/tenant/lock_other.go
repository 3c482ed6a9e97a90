//go:build !unix

package tenant

import (
	"fmt"
	"os"
	"time"
)

// lockFile makes path exclusively and returns the function that removes it. One
// that is older than a minute belongs to a process that died.
func lockFile(path string) (func(), error) {
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			f.Close()
			return func() { os.Remove(path) }, nil
		}
		if info, serr := os.Stat(path); serr == nil && time.Since(info.ModTime()) > time.Minute {
			os.Remove(path)
			continue
		}
		if time.Since(start) > 5*time.Second {
			return nil, fmt.Errorf("%s: another process holds it; delete it if none is running: %w", path, err)
		}
	}
}
