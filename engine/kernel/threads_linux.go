package kernel

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// usableCores counts the physical cores behind the CPUs that this process may
// run on; 0 when the system does not say.
func usableCores() int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return 0
	}
	return countCores("/sys/devices/system/cpu", func(cpu int) bool { return set.IsSet(cpu) })
}

// countCores counts distinct (package, core) pairs of the allowed CPUs under
// dir (laid out as /sys/devices/system/cpu). A CPU without topology counts as
// a core of its own.
func countCores(dir string, allowed func(cpu int) bool) int {
	seen := map[string]bool{}
	for cpu := range 1024 {
		if !allowed(cpu) {
			continue
		}
		top := filepath.Join(dir, fmt.Sprintf("cpu%d", cpu), "topology")
		pkg, err1 := os.ReadFile(filepath.Join(top, "physical_package_id"))
		core, err2 := os.ReadFile(filepath.Join(top, "core_id"))
		if err1 != nil || err2 != nil {
			seen[fmt.Sprintf("cpu%d", cpu)] = true
			continue
		}
		seen[strings.TrimSpace(string(pkg))+":"+strings.TrimSpace(string(core))] = true
	}
	return len(seen)
}

// cpuQuota is the CPU quota of this process's control groups in whole CPUs,
// rounded down but at least 1; 0 when there is none. root is where the groups
// are mounted, self the file that names the process's group. Groups from the
// process's own up to the root are looked at, version 2 and version 1.
func cpuQuota(root, self string) int {
	text, err := os.ReadFile(self)
	if err != nil {
		return 0
	}
	least := math.Inf(1)
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		for dir := filepath.Clean("/" + f[2]); ; dir = filepath.Dir(dir) {
			switch {
			case f[0] == "0":
				least = min(least, quotaV2(filepath.Join(root, dir)), quotaV2(filepath.Join(root, "unified", dir)))
			case hasController(f[1], "cpu"):
				least = min(least, quotaV1(filepath.Join(root, "cpu", dir)), quotaV1(filepath.Join(root, f[1], dir)))
			}
			if dir == "/" {
				break
			}
		}
	}
	if math.IsInf(least, 1) {
		return 0
	}
	return max(int(least), 1)
}

func hasController(list, want string) bool {
	for c := range strings.SplitSeq(list, ",") {
		if c == want {
			return true
		}
	}
	return false
}

// quotaV2 reads "quota period" of cpu.max; infinite when absent or "max".
func quotaV2(dir string) float64 {
	text, err := os.ReadFile(filepath.Join(dir, "cpu.max"))
	if err != nil {
		return math.Inf(1)
	}
	f := strings.Fields(string(text))
	if len(f) != 2 {
		return math.Inf(1)
	}
	return ratio(f[0], f[1])
}

// quotaV1 reads cpu.cfs_quota_us (-1: none) and cpu.cfs_period_us.
func quotaV1(dir string) float64 {
	quota, err1 := os.ReadFile(filepath.Join(dir, "cpu.cfs_quota_us"))
	period, err2 := os.ReadFile(filepath.Join(dir, "cpu.cfs_period_us"))
	if err1 != nil || err2 != nil {
		return math.Inf(1)
	}
	return ratio(strings.TrimSpace(string(quota)), strings.TrimSpace(string(period)))
}

func ratio(quota, period string) float64 {
	q, err1 := strconv.ParseFloat(quota, 64)
	p, err2 := strconv.ParseFloat(period, 64)
	if err1 != nil || err2 != nil || q <= 0 || p <= 0 {
		return math.Inf(1)
	}
	return q / p
}
