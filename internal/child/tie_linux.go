package child

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// tie makes cmd the head of a process group that is told to end when this process
// dies. The kernel watches the thread that starts it, so the caller's is kept until
// unlock.
func tie(cmd *exec.Cmd) (unlock func()) {
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	return runtime.UnlockOSThread
}

// end asks the child's group to end, or ends it.
func end(p *os.Process, hard bool) {
	sig := syscall.SIGTERM
	if hard {
		sig = syscall.SIGKILL
	}
	_ = syscall.Kill(-p.Pid, sig) // gone already: nothing to do
}
