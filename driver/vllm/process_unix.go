//go:build unix

package vllm

import (
	"syscall"
)

// terminate asks a process group to end.
func terminate(pid int) { _ = syscall.Kill(-pid, syscall.SIGTERM) }

// killGroup ends a process group at once.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// isAlive says whether the process that started then still runs.
func isAlive(pid int, start uint64) bool {
	return pid > 0 && syscall.Kill(pid, 0) == nil && startOf(pid) == start
}
