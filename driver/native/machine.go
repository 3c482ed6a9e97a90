package native

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"dlm/engine/kernel"
	"dlm/engine/train"
)

// Machine is what the engine finds on this machine.
type Machine struct {
	CPU         string      `json:"cpu"`
	Threads     int         `json:"threads"`
	ThreadsWhy  string      `json:"threads_why"`
	MemoryFree  int64       `json:"memory_free_bytes"` // what a run may use
	MemoryTotal int64       `json:"memory_total_bytes"`
	Kernels     []KernelSet `json:"kernels"`
	Chosen      string      `json:"kernels_chosen"`
}

// KernelSet is one set of multiply kernels, and why it can or cannot be used.
type KernelSet struct {
	Name      string `json:"name"`
	Available bool   `json:"available"`
	Why       string `json:"why"`
}

// Inspection looks at the machine. threads 0 lets the machine decide.
func Inspection(threads int) (Machine, error) {
	x, err := kernel.New(threads)
	if err != nil {
		return Machine{}, err
	}
	defer x.Close()
	m := Machine{CPU: cpuName(), Threads: x.Threads(), Chosen: x.Name(), MemoryFree: train.AvailableBytes(), MemoryTotal: memTotal(),
		ThreadsWhy: "the least of affinity, physical cores and CPU quota"}
	if threads > 0 {
		m.ThreadsWhy = "asked for"
	}
	for _, s := range kernel.Sets() {
		m.Kernels = append(m.Kernels, KernelSet(s))
	}
	return m, nil
}

func cpuName() string {
	if name := procLine("cpuinfo", "model name"); name != "" {
		return name
	}
	return runtime.GOARCH
}

func memTotal() int64 {
	fields := strings.Fields(procLine("meminfo", "MemTotal"))
	if len(fields) == 0 {
		return 0
	}
	return parseKB(fields[0])
}

// procLine is the value of the first line of a file in /proc that starts with key.
func procLine(file, key string) string {
	data, err := os.ReadFile(filepath.Join("/proc", file))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		k, v, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// PeakBytes is the process's largest resident set in bytes, 0 where unknown.
func PeakBytes() int64 {
	fields := strings.Fields(procLine("self/status", "VmHWM"))
	if len(fields) == 0 {
		return 0
	}
	return parseKB(fields[0])
}

// parseKB reads a number of kibibytes, as /proc writes sizes.
func parseKB(s string) int64 {
	kb, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return kb << 10
}
