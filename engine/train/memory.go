package train

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// availableBytes returns how much more memory this process may take: the least
// of what the kernel calls available and what each control group above this
// process has left. 0 means that it could not be found out.
func availableBytes(root string) int64 {
	least := int64(math.MaxInt64)
	if n := procField(filepath.Join(root, "proc/meminfo"), "MemAvailable:"); n > 0 {
		least = n * 1024
	}
	raw, _ := os.ReadFile(filepath.Join(root, "proc/self/cgroup")) // absent outside Linux
	for _, line := range strings.Split(string(raw), "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[1] == "":
			least = min(least, groupLeft(filepath.Join(root, "sys/fs/cgroup"), parts[2], "memory.max", "memory.current", "inactive_file"))
		case strings.Contains(","+parts[1]+",", ",memory,"):
			least = min(least, groupLeft(filepath.Join(root, "sys/fs/cgroup/memory"), parts[2],
				"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"))
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return max(least, 0)
}

// groupLeft walks from a control group up to the mount's root and returns the
// least that one of them has left; page cache that can be dropped counts as
// free. Inside a container the group's own path may not exist: its limits then
// stand at the mount's root.
func groupLeft(mount, group, limitFile, usageFile, cacheField string) int64 {
	least := int64(math.MaxInt64)
	for dir := filepath.Join(mount, group); ; dir = filepath.Dir(dir) {
		limit, ok := number(filepath.Join(dir, limitFile))
		usage, ok2 := number(filepath.Join(dir, usageFile))
		if ok && ok2 && limit < 1<<60 { // version 1 writes a huge number for "no limit"
			cache := procField(filepath.Join(dir, "memory.stat"), cacheField)
			least = min(least, limit-max(0, usage-cache))
		}
		if len(dir) <= len(mount) {
			return least
		}
	}
}

// number reads a file that holds one integer; "max" and absence are not one.
func number(path string) (int64, bool) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(raw)), 10, 64)
	return n, err == nil
}

// procField returns the integer after a key at the start of a line, 0 if none.
func procField(path, key string) int64 {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	s := bufio.NewScanner(bytes.NewReader(raw))
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) >= 2 && f[0] == key {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
}

// residentBytes returns this process's resident set, 0 if unknown.
func residentBytes() int64 { return procField("/proc/self/status", "VmRSS:") * 1024 }

// peakBytes returns this process's largest resident set so far, 0 if unknown.
func peakBytes() int64 { return procField("/proc/self/status", "VmHWM:") * 1024 }
