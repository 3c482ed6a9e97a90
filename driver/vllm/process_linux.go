package vllm

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
)

// inGroup makes cmd the head of a process group that is told to end when this
// process dies. The kernel watches the thread that starts it, so the caller's is
// kept until unlock.
func inGroup(cmd *exec.Cmd) (unlock func()) {
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	return runtime.UnlockOSThread
}

// startOf is when a process started, in clock ticks since boot; 0 when it is gone.
func startOf(pid int) uint64 {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The second field is a name in parentheses, which may hold anything.
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	const start = 22 - 3 // counted from the third field
	if len(fields) <= start || string(fields[0]) == "Z" {
		return 0
	}
	ticks, _ := strconv.ParseUint(string(fields[start]), 10, 64)
	return ticks
}
