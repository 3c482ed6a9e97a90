package kernel

import "golang.org/x/sys/unix"

// yield gives this thread's turn on its CPU to another thread: a goroutine's
// yield would not, and a spinning thread can keep the one it waits for off the CPU.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
