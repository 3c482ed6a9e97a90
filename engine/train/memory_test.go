package train

import (
	"os"
	"path/filepath"
	"testing"
)

// machine lays out the files that a Linux machine shows.
func machine(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestAvailableBytes(t *testing.T) {
	const meminfo = "MemTotal:       8000000 kB\nMemFree:         100 kB\nMemAvailable:    4000000 kB\n"
	const kb4m = 4000000 << 10
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"machine alone", map[string]string{"proc/meminfo": meminfo}, kb4m},
		{"nothing to read", nil, 0},
		{"version 2, no limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.current": "5\n"}, kb4m},
		{"version 2, own limit, cache counts as free", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "1000000\n", "sys/fs/cgroup/a/b/memory.current": "600000\n",
			"sys/fs/cgroup/a/b/memory.stat": "anon 1\ninactive_file 200000\n"}, 600000},
		{"version 2, parent's limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/memory.max": "900\n", "sys/fs/cgroup/a/memory.current": "400\n"}, 500},
		{"version 2 in a container: limit at the root of the mount", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/docker/123\n",
			"sys/fs/cgroup/memory.max": "3000\n", "sys/fs/cgroup/memory.current": "1000\n"}, 2000},
		{"version 1", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/x\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "5000\n", "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "3000\n",
			"sys/fs/cgroup/memory/x/memory.stat": "total_inactive_file 1000\n"}, 3000},
		{"version 1, no limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/x\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/x/memory.usage_in_bytes": "3000\n"}, kb4m},
		{"over its limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "3000\n", "sys/fs/cgroup/memory.current": "4000\n"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := availableBytes(machine(t, c.files)); got != c.want {
				t.Errorf("%d bytes, want %d", got, c.want)
			}
		})
	}
}

func TestPeakBytesIsRead(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc here")
	}
	if peakBytes() < 1<<20 {
		t.Errorf("peak of this process: %d bytes", peakBytes())
	}
}
