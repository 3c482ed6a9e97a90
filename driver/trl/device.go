package trl

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// LocalDevice is what training on this machine will find, as far as that can be
// told without starting Python: NVIDIA's first GPU, a GPU of unknown size where
// there is another maker's, else the CPU with ram bytes of memory.
func LocalDevice(ctx context.Context, ram int64) Device {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits").Output()
	if d, ok := parseGPU(string(out)); err == nil && ok {
		return d
	}
	if exists("/dev/kfd") { // AMD
		return Device{}
	}
	return Device{Name: "cpu", Bytes: ram}
}

// parseGPU reads the first line of nvidia-smi's answer: "NVIDIA L4, 23034" (MiB).
func parseGPU(text string) (Device, bool) {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	name, size, ok := strings.Cut(line, ",")
	mib, err := strconv.ParseInt(strings.TrimSpace(size), 10, 64)
	if !ok || err != nil || mib <= 0 || mib > 1<<30 || strings.TrimSpace(name) == "" {
		return Device{}, false
	}
	return Device{Name: "cuda: " + strings.TrimSpace(name), Bytes: mib << 20}, true
}
