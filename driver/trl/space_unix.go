//go:build unix

package trl

import (
	"path/filepath"
	"syscall"
)

// freeSpace is the bytes that are free where path is or would be; 0 = not known.
func freeSpace(path string) int64 {
	for {
		var s syscall.Statfs_t
		if err := syscall.Statfs(path, &s); err == nil {
			return int64(s.Bavail) * int64(s.Bsize) //nolint:unconvert // of other types on other systems
		}
		up := filepath.Dir(path)
		if up == path {
			return 0
		}
		path = up
	}
}
