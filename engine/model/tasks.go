package model

import "dlm/engine/kernel"

// A function literal given to Exec.Run is allocated at each call. A step
// allocates nothing (engine law 5), so what runs on the pool is a method of
// Pass, bound once, and its arguments stand in p.job while it runs.

// job holds the arguments of the task that runs.
type job struct {
	a     *activations
	lo    *LoRA
	r     run
	ly    int
	mod   Module
	in    int
	v, w  []float32 // what is written; what is read beside it
	z     []float32 // and one more
	s     float32
	o, o2 kernel.Operand
	chunk []Target
	tops  [][]Alternative // of chunk
}

// taskFuncs are the bound methods.
type taskFuncs struct {
	embed, turn, turnAll, drop, dropGrad func(task, worker int)
	place, attend, delta, attendBack     func(task, worker int)
	logp, dlogit                         func(task, worker int)
}

func (p *Pass) bindTasks() {
	p.tasks = taskFuncs{
		embed: p.embedTask, turn: p.turnTask, turnAll: p.turnAllTask,
		drop: p.dropTask, dropGrad: p.dropGradTask,
		place: p.placeTask, attend: p.attendTask, delta: p.deltaTask, attendBack: p.attendBackTask,
		logp: p.logpTask, dlogit: p.dlogitTask,
	}
}

// parallel splits a task over the pool; j is what it works on.
func (p *Pass) parallel(tasks int, f func(task, worker int), j job) {
	p.job = j
	p.m.x.Run(tasks, f)
	p.job = job{}
}
