//go:build !unix

package vllm

import (
	"os"
	"os/exec"
)

// inGroup does nothing: vLLM does not run here, so only its address is used.
func inGroup(*exec.Cmd) (unlock func()) { return func() {} }

func startOf(int) uint64 { return 0 }

func terminate(pid int) { killGroup(pid) }

func killGroup(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}

func isAlive(int, uint64) bool { return false }
