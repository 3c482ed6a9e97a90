//go:build !amd64 && !arm64

package kernel

import "sync/atomic"

var pauseSink atomic.Uint32

// pause passes some time without leaving the CPU.
func pause(n int) {
	for range n * 4 {
		pauseSink.Load()
	}
}
