package kernel

import (
	"fmt"
	"testing"
	"time"

	"dlm/engine/kernel/ceiling"
)

// Benchmarks report the rate of their fastest iteration, since on a machine with
// other work the mean measures the others, and beside it the most that this
// machine could do: the ceiling of the unit that multiplies or of the memory
// that is streamed, whichever takes longer. DLM_KERNELS picks the set;
// bench/kernels/run.sh makes a table.

// work is what one call has to do at least.
type work struct {
	flops float64 // a multiply-add is two
	mode  Mode    // of the multiply's operands

	bytes     int                             // read and written
	footprint int                             // memory that they lie in
	stream    func(threads, size int) float64 // the ceiling of moving them
}

// multiply is the work of m x n x k with weights of that many bytes.
func multiply(m, n, k, weightBytes int, mode Mode) work {
	size := 2
	if mode == F32 {
		size = 4
	}
	bytes := weightBytes + m*k*size + m*n*4
	return work{flops: 2 * float64(m) * float64(n) * float64(k), mode: mode, bytes: bytes, footprint: bytes, stream: ceiling.Read}
}

// copies is the work of a function whose result is another memory than what it
// reads, updates that of one which writes what it has read: of the bytes moved,
// twice is how many are in memory that is both read and written.
func copies(bytes int) work { return work{bytes: bytes, footprint: bytes, stream: ceiling.Copy} }

func updates(bytes, twice int) work {
	return work{bytes: bytes, footprint: bytes - twice/2, stream: ceiling.Update}
}

// reads is the work of a function that only reads.
func reads(bytes int) work { return work{bytes: bytes, footprint: bytes, stream: ceiling.Read} }

// seconds is the least time that the work takes here; 0 = unknown.
func (w work) seconds(set string, threads int) float64 {
	stream := w.stream(threads, w.footprint)
	if stream == 0 {
		return 0
	}
	least := float64(w.bytes) / stream
	if w.flops == 0 {
		return least
	}
	unit := ceiling.Multiply(multiplyUnit(set, w.mode), threads)
	if unit == 0 {
		return 0
	}
	return max(least, w.flops/unit)
}

// multiplyUnit is what a set multiplies with.
func multiplyUnit(set string, mode Mode) ceiling.Unit {
	switch {
	case set == "avx512bf16" && mode == BF16:
		return ceiling.BF16
	case set == "avx512bf16", set == "avx512":
		return ceiling.F32x16
	case set == "avx2":
		return ceiling.F32x8
	}
	return ""
}

// timed runs f, which does w times over, and reports the best rate and its share
// of the ceiling.
func timed(b *testing.B, x *Exec, w work, times int, f func()) {
	best := time.Hour
	for b.Loop() {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	seconds := best.Seconds() / float64(times)
	amount, unit := w.flops, "GFLOP/s"
	if w.flops == 0 {
		amount, unit = float64(w.bytes), "GB/s"
	}
	b.ReportMetric(amount/seconds/1e9, unit)
	if least := w.seconds(x.Name(), x.Threads()); least > 0 {
		b.ReportMetric(amount/least/1e9, "ceiling-"+unit)
		b.ReportMetric(100*least/seconds, "%ceiling")
	}
}

// benchThreads runs f with one thread and with as many as there are.
func benchThreads(b *testing.B, f func(x *Exec)) {
	for _, threads := range []int{1, Threads()} {
		x, err := New(threads)
		if err != nil {
			b.Fatal(err)
		}
		f(x)
		x.Close()
		if Threads() == 1 {
			break
		}
	}
}

// benchName is set/what/threads, which bench/kernels reads.
func benchName(x *Exec, format string, args ...any) string {
	return fmt.Sprintf("%s/%s/threads=%d", x.Name(), fmt.Sprintf(format, args...), x.Threads())
}

// BenchmarkFork is the cost of an empty Run.
func BenchmarkFork(b *testing.B) {
	benchThreads(b, func(x *Exec) {
		b.Run(benchName(x, "Run"), func(b *testing.B) {
			f := func(int, int) {}
			for b.Loop() {
				x.Run(x.Threads(), f)
			}
		})
	})
}
