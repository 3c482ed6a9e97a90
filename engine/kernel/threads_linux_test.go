package kernel

import (
	"fmt"
	"path/filepath"
	"testing"
)

func TestCPUQuota(t *testing.T) {
	for name, c := range map[string]struct {
		self  string
		files map[string]string
		want  int
	}{
		"none":                  {"0::/\n", nil, 0},
		"v2 max":                {"0::/a/b\n", map[string]string{"a/b/cpu.max": "max 100000\n"}, 0},
		"v2 two CPUs":           {"0::/a/b\n", map[string]string{"a/b/cpu.max": "200000 100000\n"}, 2},
		"v2 parent is tighter":  {"0::/a/b\n", map[string]string{"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "250000 100000\n"}, 2},
		"v2 half a CPU":         {"0::/\n", map[string]string{"cpu.max": "50000 100000\n"}, 1},
		"v1":                    {"3:cpu,cpuacct:/job\n", map[string]string{"cpu,cpuacct/job/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n"}, 3},
		"v1 unlimited":          {"3:cpu:/job\n", map[string]string{"cpu/job/cpu.cfs_quota_us": "-1\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, 0},
		"v1 other controllers":  {"3:cpuset:/job\n", map[string]string{"cpuset/job/cpu.cfs_quota_us": "100000\n", "cpuset/job/cpu.cfs_period_us": "100000\n"}, 0},
		"nonsense":              {"hello\n0::/x\n", map[string]string{"x/cpu.max": "fast please\n"}, 0},
		"container sees itself": {"0::/../../other\n", map[string]string{"cpu.max": "100000 100000\n"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "self"), c.self)
			for f, text := range c.files {
				write(t, filepath.Join(dir, "cgroup", f), text)
			}
			if got := cpuQuota(filepath.Join(dir, "cgroup"), filepath.Join(dir, "self")); got != c.want {
				t.Errorf("quota %d, want %d", got, c.want)
			}
		})
	}
}

func TestCountCores(t *testing.T) {
	dir := t.TempDir()
	// Two packages of two cores with two threads each.
	for cpu := range 8 {
		top := filepath.Join(dir, fmt.Sprintf("cpu%d", cpu), "topology")
		write(t, filepath.Join(top, "physical_package_id"), fmt.Sprintln(cpu/4))
		write(t, filepath.Join(top, "core_id"), fmt.Sprintln(cpu/2%2))
	}
	for name, c := range map[string]struct {
		allowed func(int) bool
		want    int
	}{
		"all":            {func(c int) bool { return c < 8 }, 4},
		"one core":       {func(c int) bool { return c < 2 }, 1},
		"a thread each":  {func(c int) bool { return c < 8 && c%2 == 0 }, 4},
		"without folder": {func(c int) bool { return c == 9 || c == 10 }, 2},
	} {
		if got := countCores(dir, c.allowed); got != c.want {
			t.Errorf("%s: %d cores, want %d", name, got, c.want)
		}
	}
}
