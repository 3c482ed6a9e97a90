package kernel

import (
	"fmt"
	"reflect"
	"runtime"
	"time"
)

// Watch counts where a pool's time goes, by kind of region: a multiply by its
// shape, a row function by its name, a task given to Run by its function. It
// costs some tenths of a microsecond a region while it is set and nothing otherwise.
type Watch struct {
	Regions map[string]Region
	label   string
}

// Region is the sum of all regions of one kind.
type Region struct {
	Calls int
	Time  time.Duration // from the hand-out of the first task to the end of the last
}

// Watch counts the pool's regions in w from now on; nil ends that. No other
// goroutine may use the Exec meanwhile.
func (x *Exec) Watch(w *Watch) {
	if w != nil && w.Regions == nil {
		w.Regions = map[string]Region{}
	}
	x.pool.watch = w
}

// multiplying names the region of a Project or MatMul.
func (w *Watch) multiplying(a Operand, ps []Projection) {
	if w == nil {
		return
	}
	n := 0
	for i := range ps {
		n += ps[i].W.N
	}
	w.label = fmt.Sprintf("multiply %v %d x %d x %d", ps[0].W.Format, a.Rows, n, a.Cols)
}

// rowsOf names the region of a row function.
func (w *Watch) rowsOf(j *rowsJob) {
	if w != nil {
		w.label = fmt.Sprintf("%s %d x %d", rowsNames[j.kind], j.rows, j.c)
	}
}

var rowsNames = [...]string{kindNorm: "RMSNorm", kindNormBack: "RMSNorm backward", kindSwiGLU: "SwiGLU", kindSwiGLUBack: "SwiGLU backward",
	kindAdd: "add", kindRound: "round", kindSums: "block sums", kindScaleRound: "scale and round", kindWiden: "widen"}

// timed is run with w counting.
func (w *Watch) timed(p *pool, tasks int, f func(task, worker int)) {
	name := w.label
	w.label = ""
	if name == "" {
		name = runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	}
	start := time.Now()
	p.hand(tasks, f)
	r := w.Regions[name]
	r.Time += time.Since(start)
	r.Calls++
	w.Regions[name] = r
}
