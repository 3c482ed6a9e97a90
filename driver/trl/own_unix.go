//go:build unix

package trl

import (
	"os/exec"
	"syscall"
)

// own gives a command a process group of its own: Ctrl-C in the terminal is for
// dlm, which then has to tell the other machine.
func own(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
