package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"dlm/engine/kernel"
	"dlm/engine/lora"
	"dlm/engine/model"
	"dlm/engine/optim"
)

// garbagePercent is how much garbage a run lets pile up, of its live memory.
const garbagePercent = 5

// runner is one run in progress.
type runner struct {
	m       *model.Model
	exec    *kernel.Exec
	mode    kernel.Mode
	adapter *lora.Adapter
	data    []Example
	held    []Example
	cfg     Config
	dir     string
	emit    func(Event)

	total       int // steps
	order       *order
	pack        *packer
	heldPack    *packer
	heldOrder   []int
	plan        Plan
	losses      losses
	heldLosses  losses
	micro       int // examples a pass, 0 = any number
	microTokens int // rows a pass, 0 = any number

	pass     pass
	batch    batch
	tensors  []optim.Tensor
	opt      *optim.AdamW
	norm     *optim.Norm
	schedule optim.Schedule

	st      state
	resumed int
}

// Run trains adapter a on m with data, in the working folder dir, and leaves the
// kept values in a: those of the best evaluation with KeepBest, else those of
// the last step. A run that was cut off goes on from its newest checkpoint in
// dir; a finished one returns at once. When ctx is cancelled Run writes a
// checkpoint and returns ctx's error. emit may be nil.
func Run(ctx context.Context, m *model.Model, a *lora.Adapter, data, held []Example, cfg Config, dir string, emit func(Event)) (Result, error) {
	r, err := newRunner(m, a, data, held, cfg)
	if err != nil {
		return Result{}, err
	}
	r.dir, r.emit = dir, emit
	if emit == nil {
		r.emit = func(Event) {}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Result{}, err
	}
	unlock, err := lock(dir)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	// The buffers of a run live as long as it does: waiting for as much garbage as
	// there is live memory, the default, would double the peak for nothing.
	defer debug.SetGCPercent(debug.SetGCPercent(garbagePercent))
	r.prepare(m.NewPass(r.plan.MicroTokens, a.Rank(), true, model.Recompute(r.plan.Recomputed)))
	return r.run(ctx)
}

// newRunner checks the arguments and makes the plan.
func newRunner(m *model.Model, a *lora.Adapter, data, held []Example, cfg Config) (*runner, error) {
	mc := m.Config()
	cfg = cfg.withDefaults(mc.MaxSeq)
	if err := cfg.validate(mc.MaxSeq); err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, errors.New("there are no training examples")
	}
	if cfg.EarlyStop.Patience > 0 && len(held) == 0 {
		return nil, errors.New("early_stopping needs held-out examples, whose loss it watches")
	}
	if err := errors.Join(checkExamples("training", data, mc.Vocab, cfg.MaxLen), checkExamples("held-out", held, mc.Vocab, cfg.MaxLen)); err != nil {
		return nil, err
	}
	r := &runner{m: m, exec: m.Exec(), mode: m.Mode(), adapter: a, data: data, held: held, cfg: cfg, emit: func(Event) {}}
	r.order, r.pack, r.heldPack = newOrder(len(data), cfg), newPacker(data, r.sharesPrefixes()), newPacker(held, true)
	r.losses, r.heldLosses = make(losses, len(data)), make(losses, len(held))
	for i := range held {
		r.heldOrder = append(r.heldOrder, i)
	}
	r.total = r.order.total(cfg.Epochs, cfg.MaxSteps)
	r.schedule = optim.Schedule{Kind: cfg.Schedule, Peak: cfg.LR, Warmup: cfg.Warmup, Total: r.total}
	return r, r.makePlan()
}

// prepare makes the optimiser and everything else that steps write to.
func (r *runner) prepare(p pass) {
	r.pass = p
	r.adapter.EnableGrad()
	r.tensors = r.tensors[:0]
	for _, p := range r.adapter.Params() {
		r.tensors = append(r.tensors, optim.Tensor{Name: p.Name, Value: p.Value, Grad: p.Grad})
	}
	c := optim.AdamWConfig{Beta1: r.cfg.Beta1, Beta2: r.cfg.Beta2, Eps: r.cfg.Eps, WeightDecay: r.cfg.WeightDecay}
	r.opt = optim.NewAdamW(r.tensors, c, r.exec)
	r.norm = optim.NewNorm(r.tensors, r.exec.Run)
	id := r.identity()
	r.st = state{Format: checkpointForm, Identity: id, Hash: identityHash(id), Kernels: r.exec.Name(), Code: r.cfg.Code}
}

func (r *runner) run(ctx context.Context) (Result, error) {
	if err := sweep(r.dir); err != nil {
		return Result{}, err
	}
	if err := r.resume(); err != nil {
		return Result{}, err
	}
	for _, w := range r.plan.Warnings {
		r.note(w)
	}
	for r.st.Pending || (r.st.Step < r.total && !r.stopped()) {
		if err := r.next(ctx); err != nil {
			return Result{}, r.leave(ctx, err)
		}
	}
	r.adapter.SetDropout(false, 0)
	if r.stopped() {
		r.tellStop()
	}
	return r.finish()
}

// next makes one step and whatever is due after it, or only the latter where a
// stopped run left it pending.
func (r *runner) next(ctx context.Context) error {
	if r.st.Pending {
		return r.after(ctx)
	}
	begin := time.Now()
	res, err := r.step(ctx, r.st.Step)
	if err != nil {
		return err
	}
	r.st.Seconds += time.Since(begin).Seconds()
	r.st.Step++
	r.st.Pending = true
	r.st.Tokens += res.tokens
	r.st.Losses = append(r.st.Losses, res.loss)
	e := r.event("step")
	e.Loss, e.LR, e.GradNorm = res.loss, res.lr, res.norm
	r.emit(e)
	return r.after(ctx)
}

// after evaluates, samples and saves when it is time to.
func (r *runner) after(ctx context.Context) error {
	evaluates := r.due(r.cfg.EvalEvery)
	if evaluates && len(r.held) > 0 && !r.evaluated() {
		if err := r.eval(ctx); err != nil {
			return err
		}
	}
	if orElse(r.cfg.SampleEvery, r.due, evaluates) {
		if err := r.sample(ctx); err != nil {
			return err
		}
	}
	r.st.Pending = false
	best := r.st.Best != nil && r.st.Best.Step == r.st.Step
	if best || orElse(r.cfg.SaveEvery, r.due, evaluates) {
		return r.checkpoint()
	}
	return nil
}

// evaluated reports whether the step made last has been evaluated.
func (r *runner) evaluated() bool {
	n := len(r.st.Evals)
	return n > 0 && r.st.Evals[n-1].Step == r.st.Step
}

// eval evaluates and keeps the books.
func (r *runner) eval(ctx context.Context) error {
	l, err := r.evaluate(ctx, r.st.Step)
	if err != nil {
		return err
	}
	ev := Eval{Step: r.st.Step, Loss: l}
	r.st.Evals = append(r.st.Evals, ev)
	e := r.event("eval")
	e.Loss = l
	if e.Best = r.st.Best == nil || l < r.st.Best.Loss; e.Best {
		r.st.Best = &ev
	}
	r.emit(e)
	return nil
}

// due reports whether something done every so many steps (0: at the end of each
// epoch) is due now; after the last step, planned or early, everything is.
func (r *runner) due(every int) bool {
	if every == 0 {
		every = r.order.perEpoch()
	}
	return r.st.Step%every == 0 || r.st.Step == r.total || r.stopped()
}

// orElse asks due about every, or takes otherwise when every is 0.
func orElse(every int, due func(int) bool, otherwise bool) bool {
	if every == 0 {
		return otherwise
	}
	return due(every)
}

func (r *runner) sample(ctx context.Context) error {
	if r.cfg.Sample == nil {
		return nil
	}
	r.adapter.SetDropout(false, 0)
	texts, err := r.cfg.Sample(ctx, r.st.Step)
	if err != nil {
		return fmt.Errorf("samples after step %d: %w", r.st.Step, err)
	}
	for i, text := range texts {
		e := r.event("sample")
		e.Sample, e.Text = i, text
		r.emit(e)
	}
	return nil
}

func (r *runner) checkpoint() error {
	path, err := r.save()
	if err != nil {
		return err
	}
	e := r.event("checkpoint")
	e.Path = path
	r.emit(e)
	return nil
}

// leave is called when a run cannot go on: a cancelled one keeps what it has.
func (r *runner) leave(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, ctx.Err()) || r.st.Step == 0 {
		return err
	}
	return errors.Join(err, r.checkpoint())
}

// resume takes up the newest intact checkpoint, if there is any.
func (r *runner) resume() error {
	steps, err := checkpointSteps(r.dir)
	if err != nil || len(steps) == 0 {
		return err
	}
	var damaged []string
	for _, s := range steps {
		st, err := readState(stepDir(r.dir, s))
		if err != nil {
			damaged = append(damaged, err.Error())
			r.note(fmt.Sprintf("checkpoint of step %d cannot be used: %v", s, err))
			continue
		}
		if st.Hash != r.st.Hash {
			return fmt.Errorf("%s holds a run with other settings: %s; restore them to go on with it, or give this run another folder",
				r.dir, strings.Join(differences(st.Identity, r.st.Identity), "; "))
		}
		return r.takeUp(st)
	}
	return fmt.Errorf("no checkpoint in %s is intact (%s); remove the folder to start over", r.dir, strings.Join(damaged, "; "))
}

func (r *runner) takeUp(st state) error {
	if err := r.restore(st.Step, false); err != nil {
		return err
	}
	if st.Kernels != r.st.Kernels || st.Code != r.st.Code {
		r.note(fmt.Sprintf("the checkpoint was made with kernels %s by dlm %q; with kernels %s and dlm %q the adapter may differ in its last bits from one trained in one go",
			st.Kernels, st.Code, r.st.Kernels, r.st.Code))
	}
	st.Kernels, st.Code = r.st.Kernels, r.st.Code
	r.st = st
	r.opt.SetSteps(st.Step)
	r.resumed = st.Step
	return nil
}

// finish puts the kept values into the adapter.
func (r *runner) finish() (Result, error) {
	res := Result{
		Steps: r.st.Step, StoppedEarly: r.stopped(), BestStep: r.st.Step, Tokens: r.st.Tokens, Seconds: r.st.Seconds,
		PeakBytes: peakBytes(), Resumed: r.resumed, Losses: r.st.Losses, Evals: r.st.Evals,
	}
	if n := len(r.st.Losses); n > 0 {
		res.Loss = r.st.Losses[n-1]
	}
	if n := len(r.st.Evals); n > 0 {
		res.EvalLoss = r.st.Evals[n-1].Loss
	}
	if best := r.st.Best; r.cfg.KeepBest && best != nil {
		res.EvalLoss, res.BestStep = best.Loss, best.Step
		if best.Step != r.st.Step {
			if err := r.restore(best.Step, true); err != nil {
				return Result{}, fmt.Errorf("the best checkpoint cannot be read: %w; set keep_best to false to end with the last step's adapter", err)
			}
		}
	}
	return res, nil
}

// event fills in what every event carries.
func (r *runner) event(kind string) Event {
	e := Event{Kind: kind, Step: r.st.Step, Steps: r.total, Tokens: r.st.Tokens,
		Epoch: float64(r.st.Step) / float64(r.order.perEpoch())}
	if r.st.Seconds > 0 {
		e.TokPerSec = float64(r.st.Tokens) / r.st.Seconds
		e.Left = time.Duration(float64(r.plan.Tokens-r.st.Tokens) / e.TokPerSec * float64(time.Second))
	}
	return e
}

func (r *runner) note(text string) {
	e := r.event("note")
	e.Text = text
	r.emit(e)
}
