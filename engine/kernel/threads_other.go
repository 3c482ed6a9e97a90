//go:build !linux

package kernel

// usableCores and cpuQuota return 0: not known on this system.
func usableCores() int            { return 0 }
func cpuQuota(string, string) int { return 0 }
