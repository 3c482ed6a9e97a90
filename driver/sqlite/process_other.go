//go:build !linux

package sqlite

import (
	"os"
	"runtime"
	"syscall"
)

// whereabouts names the machine; its boot and pid namespace are not known here.
func whereabouts() (machine, boot, namespace string) {
	machine, _ = os.Hostname()
	return machine, "", ""
}

// processStart says whether pid lives; its start time is not known here, so a
// reused pid is taken for the old process.
func processStart(pid int) (start string, ok bool) {
	p, err := os.FindProcess(pid)
	if err != nil {
		return "", false
	}
	if runtime.GOOS == "windows" {
		p.Release()
		return "", true // FindProcess fails for dead ones
	}
	return "", p.Signal(syscall.Signal(0)) == nil
}
