package kernel

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// testPool makes a pool of more workers than this machine may have CPUs.
func testPool(t *testing.T, workers int) *pool {
	p := newPool(workers)
	t.Cleanup(p.close)
	return p
}

func TestPoolRunsEachTaskOnce(t *testing.T) {
	p := testPool(t, 4)
	for round := range 3000 {
		tasks := round % 41
		counts := make([]atomic.Int32, tasks)
		busy := make([]atomic.Bool, 4)
		p.run(tasks, func(task, worker int) {
			if !busy[worker].CompareAndSwap(false, true) {
				t.Error("two tasks on one worker at once")
			}
			counts[task].Add(1)
			busy[worker].Store(false)
		})
		for i := range counts {
			if counts[i].Load() != 1 {
				t.Fatalf("round %d: task %d ran %d times", round, i, counts[i].Load())
			}
		}
		if round%500 == 0 {
			time.Sleep(5 * time.Millisecond) // let the workers park
		}
	}
}

func TestPoolFromSeveralGoroutines(t *testing.T) {
	x := execFor(t, "portable", 2)
	var wg sync.WaitGroup
	var sum atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 200 {
				x.Run(5, func(task, _ int) { sum.Add(int64(task)) })
			}
		})
	}
	wg.Wait()
	if sum.Load() != 8*200*10 {
		t.Errorf("sum %d, want %d", sum.Load(), 8*200*10)
	}
}

// Spinning workers must not hold up the garbage collector.
func TestPoolLetsGCStop(t *testing.T) {
	p := testPool(t, 3)
	start := time.Now()
	for range 20 {
		p.run(3, func(int, int) {})
		runtime.GC()
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("20 collections took %v", d)
	}
}

func TestNoAllocation(t *testing.T) {
	for _, set := range availableSets() {
		x := execFor(t, set, 2)
		r := newRand(30)
		w, a := randPanels(r, FormatQ4Min, 128, 64), randOperand(r, BF16, 20, 64)
		dst, src := make([]float32, 20*128), randF32(r, 20*128, 1)
		o := NewOperand(BF16, 20, 128)
		flat := randOperand(r, BF16, 1, 64*64)
		b := Block{Mode: BF16, K: 64, N: 64, B: flat.B}
		f := func(int, int) {}
		weights, m := NewOperand(BF16, 64, 64), make([]float32, 64)
		square := weights
		weights = weights.Slice(0, 20)
		step := func() {
			x.MatMul(dst, 128, a, w, false)
			x.MatMulT(dst, 64, o, w, 0, 128, false)
			x.Round(o, src, 128)
			x.SwiGLU(o, src, src, 20, 128)
			x.MulBlock(dst, 64, a, b, false)
			x.OuterAccum(dst, 64, src, 16, 16, a)
			x.ExpSub(dst[:100], src[:100], x.MaxRow(src[:100]))
			x.Run(3, f)
			x.SoftmaxBlock(weights, src, 20, 3, 1, 0.125, m, m)
			x.SoftmaxBlockBackward(src, dst, 20, 3, 0.125, m, m, m)
			x.TransposeRound(square, src, 64, 20)
			x.RoundRows(weights, src, 64)
			x.PutRows(b, 3, weights)
			x.PutColumns(b, 3, weights)
			x.HeadDots(m, src, weights, 1, weights.Cols)
		}
		step()
		if n := testing.AllocsPerRun(50, step); n > 0 {
			t.Errorf("%s: %v allocations in a step", set, n)
		}
	}
}

func TestThreads(t *testing.T) {
	if n := Threads(); n < 1 || n > runtime.NumCPU() {
		t.Errorf("Threads() = %d with %d CPUs", n, runtime.NumCPU())
	}
	old := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(old)
	if n := Threads(); n != 1 {
		t.Errorf("Threads() = %d with GOMAXPROCS 1", n)
	}
	x := execFor(t, "portable", 4)
	if x.Threads() != 1 {
		t.Errorf("%d workers with GOMAXPROCS 1: they would wait for each other's CPU", x.Threads())
	}
}

// write makes a file and its folders.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
