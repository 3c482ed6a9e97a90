package kernel

import "runtime"

// Threads is how many workers this process should use: the least of GOMAXPROCS
// (which follows CPU affinity and the container's quota), the physical cores
// that the process may run on, and the CPU quota of its control groups. Two
// hardware threads of one core share its multipliers, and workers beyond the
// quota would be throttled while others wait for them.
func Threads() int {
	n := runtime.GOMAXPROCS(0)
	if c := usableCores(); c > 0 {
		n = min(n, c)
	}
	if q := cpuQuota("/sys/fs/cgroup", "/proc/self/cgroup"); q > 0 {
		n = min(n, q)
	}
	return max(n, 1)
}
