// Package ceiling measures what a machine can do at most, so that benchmarks of
// package kernel can print their share of it: multiply-adds that stay in
// registers, and streams of loads and stores. It is not part of the engine: only
// benchmarks import it (assembly cannot stand in a test file).
//
// Multiply, Read, Copy and Update measure once for each question and remember the
// answer. They return 0 where the machine, or this package, has no such loop.
package ceiling

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Unit is what does the multiply-adds.
type Unit string

// The units.
const (
	BF16   Unit = "bf16"   // VDPBF16PS on 512 bits: two bf16 products a lane
	F32x16 Unit = "f32x16" // VFMADD231PS on 512 bits
	F32x8  Unit = "f32x8"  // VFMADD231PS on 256 bits
)

// Multiply returns the floating-point operations a second of a unit on that
// many threads together; a multiply-add counts as two.
func Multiply(u Unit, threads int) float64 {
	f, flops := multiplyLoop(u)
	if f == nil {
		return 0
	}
	const times = 100_000 // about a quarter of a millisecond
	return remember(question{string(u), threads, 0}, func() float64 {
		return best(threads, flops*times, func(int) { f(&loopArgs{times: times}) })
	})
}

// Read returns the bytes a second that the threads together can load from a
// memory of that many bytes, each from its own part, again and again.
func Read(threads, bytes int) float64 { return stream("read", threads, bytes) }

// Copy returns the bytes a second, loaded and stored, of copying one half of a
// memory of that many bytes to the other.
func Copy(threads, bytes int) float64 { return stream("copy", threads, bytes) }

// Update returns the bytes a second, loaded and stored, of going through a
// memory of that many bytes and writing each place again.
func Update(threads, bytes int) float64 { return stream("update", threads, bytes) }

// loopArgs are the arguments of a loop. Assembly reads them by offset.
type loopArgs struct {
	times    int
	src, dst unsafe.Pointer
	bytes    int // a multiple of stride
}

// stride is how much a stream's loop takes at a time.
const stride = 512

func stream(kind string, threads, bytes int) float64 {
	f := streamLoop(kind)
	if f == nil {
		return 0
	}
	return remember(question{kind, threads, bytes}, func() float64 {
		part := max(bytes/threads/stride, 2) * stride
		each, dst, moved := part, 0, part // what a loop goes through, where it writes, what it moves
		switch kind {
		case "copy":
			each = part / 2 / stride * stride
			dst, moved = each, 2*each
		case "update":
			moved = 2 * each
		}
		times := max(1, 8<<20/moved)
		args := make([]*loopArgs, threads)
		for i := range args {
			m, free := memory(part)
			defer free()
			args[i] = &loopArgs{times: times, src: unsafe.Pointer(&m[0]), dst: unsafe.Pointer(&m[dst]), bytes: each}
		}
		return best(threads, float64(moved*times), func(i int) { f(args[i]) })
	})
}

type question struct {
	kind           string
	threads, bytes int
}

var (
	mu      sync.Mutex
	answers = map[question]float64{}
)

func remember(q question, measure func() float64) float64 {
	mu.Lock()
	defer mu.Unlock()
	v, ok := answers[q]
	if !ok {
		v = measure()
		answers[q] = v
	}
	return v
}

// best runs f on each thread at once, some times over, and returns the best
// rate of the threads together when each does amount.
func best(threads int, amount float64, f func(thread int)) float64 {
	const tries, atLeast = 12, 30 * time.Millisecond
	top, begun := 0.0, time.Now()
	for try := 0; try < tries || time.Since(begun) < atLeast; try++ {
		var ready atomic.Int32
		var done sync.WaitGroup
		together := func() {
			for ready.Add(1); ready.Load() < int32(threads); {
			}
		}
		for i := 1; i < threads; i++ {
			done.Go(func() {
				together()
				f(i)
			})
		}
		together()
		start := time.Now()
		f(0)
		done.Wait()
		top = max(top, float64(threads)*amount/time.Since(start).Seconds())
	}
	runtime.GC() // the memory of one question is not kept for the next
	return top
}
