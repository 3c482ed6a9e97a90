//go:build !linux

package kernel

import "runtime"

// yield lets another goroutine run; the system's own yield is not at hand here.
func yield() { runtime.Gosched() }
