//go:build unix && !linux

package vllm

import (
	"os/exec"
	"syscall"
)

// inGroup makes cmd the head of a process group. Nothing ends it when this process
// is killed; the next start does.
func inGroup(cmd *exec.Cmd) (unlock func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return func() {}
}

// startOf is 0: this system does not tell when a process started without a call
// of its own.
func startOf(int) uint64 { return 0 }
