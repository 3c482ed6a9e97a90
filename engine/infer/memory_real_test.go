package infer

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"dlm/engine/kernel"
)

// statusBytes reads a field of /proc/self/status, 0 where there is none.
func statusBytes(key string) int64 {
	raw, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(raw), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[0] == key {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n * 1024
		}
	}
	return 0
}

// TestNeed holds Need to within 10% of the peak, beside what the process has
// taken when the base is loaded. The peak is of the whole process, so it wants
// one of its own: DLM_TEST_MEMORY=1 go test ./engine/infer -run Need -v.
func TestNeed(t *testing.T) {
	if os.Getenv("DLM_TEST_MEMORY") == "" {
		t.Skip("wants a process of its own: set DLM_TEST_MEMORY=1")
	}
	m := load(t, realModel(t), kernel.BF16, 2)
	e := engine(t, m, Options{})
	var reqs []Request
	for i := range 8 {
		reqs = append(reqs, Request{IDs: randomIDs(uint64(i), 480, 40000), Adapter: adapter(m, 16, uint64(i)), MaxTokens: 32})
	}
	debug.FreeOSMemory()
	planned := statusBytes("VmRSS:") + e.Need(reqs)
	generate(t, e, reqs...)
	measured := statusBytes("VmHWM:")
	off := float64(planned)/float64(measured) - 1
	t.Logf("planned %d MiB, measured %d MiB, %+.1f%%", planned>>20, measured>>20, 100*off)
	if math.Abs(off) > 0.1 {
		t.Errorf("planned %d bytes, measured %d", planned, measured)
	}
}
