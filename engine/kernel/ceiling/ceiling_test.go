package ceiling

import (
	"fmt"
	"testing"
	"time"
	"unsafe"
)

// The loops' offsets are the generator's.
func TestLayout(t *testing.T) {
	var a loopArgs
	if unsafe.Offsetof(a.times) != 0 || unsafe.Offsetof(a.src) != 8 || unsafe.Offsetof(a.dst) != 16 || unsafe.Offsetof(a.bytes) != 24 {
		t.Error("loopArgs is not laid out as engine/kernel/gen/ceiling.go says")
	}
}

// A stream touches its whole memory and nothing beyond; a register loop takes
// time in proportion to its rounds.
func TestLoops(t *testing.T) {
	if copyLoop := streamLoop("copy"); copyLoop != nil {
		const n = 3 * stride
		m := make([]byte, 2*n+64)
		for i := range n {
			m[i] = byte(i) | 1
		}
		copyLoop(&loopArgs{times: 2, src: unsafe.Pointer(&m[0]), dst: unsafe.Pointer(&m[n]), bytes: n})
		for i := range n {
			if m[n+i] != m[i] {
				t.Fatalf("byte %d was not copied", i)
			}
		}
		if m[2*n] != 0 {
			t.Error("a byte beyond the end was written")
		}
		streamLoop("read")(&loopArgs{times: 1, src: unsafe.Pointer(&m[0]), dst: unsafe.Pointer(&m[n]), bytes: n})
	}
	for _, u := range []Unit{BF16, F32x16, F32x8} {
		f, _ := multiplyLoop(u)
		if f == nil {
			t.Logf("%s: not on this machine", u)
			continue
		}
		took := func(times int) time.Duration {
			least := time.Hour
			for range 20 {
				start := time.Now()
				f(&loopArgs{times: times})
				least = min(least, time.Since(start))
			}
			return least
		}
		if a, b := took(1000), took(20000); b < 4*a {
			t.Errorf("%s: 1000 rounds take %v, 20000 take %v", u, a, b)
		}
	}
}

func BenchmarkCeiling(b *testing.B) {
	for _, threads := range []int{1, 2} {
		for _, u := range []Unit{BF16, F32x16, F32x8} {
			b.Run(fmt.Sprintf("%s/threads=%d", u, threads), func(b *testing.B) {
				b.ReportMetric(Multiply(u, threads)/1e9, "GFLOP/s")
			})
		}
		for _, size := range []int{32 << 10, 512 << 10, 16 << 20, 512 << 20} {
			for name, f := range map[string]func(threads, bytes int) float64{"read": Read, "copy": Copy, "update": Update} {
				b.Run(fmt.Sprintf("%s-%dKiB/threads=%d", name, size>>10, threads), func(b *testing.B) {
					b.ReportMetric(f(threads, size)/1e9, "GB/s")
				})
			}
		}
	}
}
