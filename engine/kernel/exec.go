package kernel

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Exec is a kernel set plus a pool of workers. Its multiplies and elementwise
// functions may be called from several goroutines; they take turns. The serial
// helpers (MulBlock, Exp, MaxRow, ExpSub, Scale, Axpy, Dot) use no pool and
// may be called inside Run.
type Exec struct {
	set  *set
	pool *pool
	work []scratch // by worker
	job  job       // arguments of the running multiply or row function

	// Method values, bound once: binding allocates.
	runMatMul, runMatMulT, runOuter, runRows func(task, worker int)
}

// SetInfo describes one kernel set.
type SetInfo struct {
	Name      string
	Available bool
	Why       string // why it is not available, or what it uses
}

// EnvSet is the environment variable that forces a kernel set.
const EnvSet = "DLM_KERNELS"

// New returns an Exec with the best kernel set of this CPU, or the one that
// DLM_KERNELS names, and threads workers (0: Threads()).
func New(threads int) (*Exec, error) {
	if name := os.Getenv(EnvSet); name != "" {
		x, err := NewWith(name, threads)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", EnvSet, err)
		}
		return x, nil
	}
	for _, e := range entries() {
		if e.check() == nil {
			return newExec(e.set, threads), nil
		}
	}
	return newExec(&portable, threads), nil // not reached: portable always passes
}

// NewWith returns an Exec with the named kernel set.
func NewWith(name string, threads int) (*Exec, error) {
	var names []string
	for _, e := range entries() {
		if e.set.name == name {
			if err := e.check(); err != nil {
				return nil, fmt.Errorf("kernel set %q cannot be used here: %w", name, err)
			}
			return newExec(e.set, threads), nil
		}
		names = append(names, e.set.name)
	}
	return nil, fmt.Errorf("no kernel set %q; there are %s", name, strings.Join(names, ", "))
}

// Sets lists the kernel sets, best first, and why each can or cannot be used.
func Sets() []SetInfo {
	var infos []SetInfo
	for _, e := range entries() {
		info := SetInfo{Name: e.set.name, Available: true, Why: e.set.uses}
		if err := e.check(); err != nil {
			info.Available, info.Why = false, err.Error()
		}
		infos = append(infos, info)
	}
	return infos
}

func newExec(s *set, threads int) *Exec {
	if threads <= 0 {
		threads = Threads()
	}
	threads = min(threads, runtime.GOMAXPROCS(0)) // more would wait for each other's CPU
	x := &Exec{set: s, pool: newPool(threads), work: make([]scratch, threads)}
	for i := range x.work {
		x.work[i].init()
	}
	x.job.dealt, x.job.dealtH = newLots(threads), newLots(threads)
	x.runMatMul, x.runMatMulT, x.runOuter, x.runRows = x.matMulTask, x.matMulTTask, x.outerTask, x.rowsTask
	return x
}

// Name is the kernel set's name.
func (x *Exec) Name() string { return x.set.name }

// Threads is the number of workers, the caller included.
func (x *Exec) Threads() int { return x.pool.workers }

// Close ends the workers. The Exec must not be used afterwards.
func (x *Exec) Close() { x.pool.close() }

// Run calls f(task, worker) for each task in 0..tasks on the pool and returns
// when all are done. Tasks are handed out as workers become free; worker is
// below Threads() and no two tasks run on one worker at once. f must not call
// Run or a pooled function of the same Exec. Run itself does not allocate; a
// closure passed to it does, so hot paths bind theirs once.
func (x *Exec) Run(tasks int, f func(task, worker int)) {
	x.pool.mu.Lock()
	defer x.pool.mu.Unlock()
	x.pool.run(tasks, f)
}
