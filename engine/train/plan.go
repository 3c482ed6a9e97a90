package train

import (
	"fmt"

	"dlm/engine/kernel"
	"dlm/engine/lora"
	"dlm/engine/model"
)

// Plan is what a run will do and cost, known before its first step.
type Plan struct {
	Kernels     string           // kernel set
	Threads     int              //
	Precision   string           // "bf16" or "f32"
	Examples    int              // training examples
	Held        int              // held-out examples
	Tokens      int              // of a whole run, with repetitions
	LossTokens  int              // of which count in the loss
	Steps       int              // of the whole run
	Parameters  int64            // trained
	MicroTokens int              // rows of the largest pass
	Passes      int              // forward and backward passes of a whole run
	Bytes       map[string]int64 // by use
	PeakBytes   int64            // sum of Bytes
	Available   int64            // bytes that this process may still take; 0 = unknown
	Warnings    []string
}

// PlanMemory returns the bytes that training a on m will take, by use, with
// passes of at most microTokens rows: "weights", "adapter", "optimiser",
// "checkpoint" (while one is written), what model.PassBytes lists
// ("activations", "scratch", "attention", "logits"), "cache" for samples, and
// "runtime", an allowance for the program itself.
func PlanMemory(m *model.Model, a *lora.Adapter, microTokens int, cacheBytes int64) map[string]int64 {
	n := a.Parameters()
	panel := int64(2)
	if m.Mode() == kernel.F32 {
		panel = 4
	}
	bytes := model.PassBytes(m.Config(), m.Mode(), microTokens, a.Config().Rank, true, m.Exec().Threads())
	bytes["weights"] = m.Bytes()
	bytes["adapter"] = n * (4 + panel)
	bytes["optimiser"] = n * (4 + 8)  // gradient, two moments
	bytes["checkpoint"] = n * (4 + 8) // value, two moments
	bytes["runtime"] = runtimeBytes
	if cacheBytes > 0 {
		bytes["cache"] = cacheBytes
	}
	return bytes
}

// runtimeBytes covers the program, its stacks and what waits for collection:
// measured as the rest between a plan and the resident set of its run.
const runtimeBytes = 80 << 20

// Preview plans a run without starting it.
func Preview(m *model.Model, a *lora.Adapter, data, held []Example, cfg Config) (Plan, error) {
	r, err := newRunner(m, a, data, held, cfg)
	if err != nil {
		return Plan{}, err
	}
	return r.plan, nil
}

// Sizes of a pass in rows. Measured on SmolLM2-135M in bf16 with 16 rows of 128
// tokens a step, processor time a step by rows a pass: 128: 3.6 s, 256: 3.4 s,
// 512: 3.3 s, 1024: 3.4 s, 2048: 3.5 s. More rows only cost memory.
const (
	comfortable = 512
	lean        = 256
)

// share of the available memory that a plan may take: the rest is for what a
// plan cannot see (the runtime, file pages, other processes' growth).
const share = 0.9

// makePlan counts tokens and steps and chooses the size of a pass.
func (r *runner) makePlan() error {
	p := Plan{
		Kernels: r.m.Exec().Name(), Threads: r.m.Exec().Threads(), Precision: precision(r.mode),
		Examples: len(r.data), Held: len(r.held), Steps: r.total, Parameters: r.adapter.Parameters(),
		Available: availableBytes("/"),
	}
	longest := 0
	for _, set := range [][]Example{r.data, r.held} {
		for _, e := range set {
			longest = max(longest, e.rows())
		}
	}
	for s := range r.total {
		for _, i := range r.order.step(s) {
			p.Tokens += len(r.data[i].IDs)
			p.LossTokens += r.data[i].targets()
		}
	}
	if err := r.choosePass(&p, longest); err != nil {
		return err
	}
	if len(r.held) == 0 && r.cfg.KeepBest {
		p.Warnings = append(p.Warnings, "keep_best needs held-out examples; the adapter of the last step will be kept")
	}
	if p.Available == 0 && r.cfg.MemoryLimit == 0 {
		p.Warnings = append(p.Warnings, "free memory could not be read; the plan is not checked against it")
	}
	r.plan = p
	return nil
}

// choosePass sets how a step is cut, from the largest candidate that fits.
func (r *runner) choosePass(p *Plan, longest int) error {
	micro := r.cfg.MicroBatch
	if micro == 0 && !r.cfg.Packing {
		micro = 1
	}
	var candidates []int
	switch {
	case r.cfg.MicroTokens > 0:
		if r.cfg.MicroTokens < longest {
			p.Warnings = append(p.Warnings, fmt.Sprintf("micro_tokens %d is less than the longest example; passes hold up to %d rows", r.cfg.MicroTokens, longest))
		}
		candidates = []int{r.cfg.MicroTokens}
	case r.cfg.MicroBatch > 0 || !r.cfg.Packing:
		candidates = []int{0}
	default:
		candidates = []int{comfortable, lean, longest}
	}
	limit := r.cfg.MemoryLimit
	if limit == 0 {
		limit = int64(share*float64(p.Available)) + r.m.Bytes() + r.adapter.Parameters()*6 // those are resident already
	}
	for _, tokens := range candidates {
		rows, passes := r.largestPass(micro, tokens)
		rows = max(rows, longest)
		p.MicroTokens, p.Passes = rows, passes
		p.Bytes = PlanMemory(r.m, r.adapter, rows, r.cfg.CacheBytes)
		p.PeakBytes = 0
		for _, b := range p.Bytes {
			p.PeakBytes += b
		}
		r.micro, r.microTokens = micro, tokens
		if p.PeakBytes <= limit || (p.Available == 0 && r.cfg.MemoryLimit == 0) {
			return nil
		}
	}
	advice := "shorten the longest example (max_len), lower the rank, or use a machine with more memory"
	if r.cfg.MicroBatch > 1 || r.cfg.MicroTokens > 0 {
		advice = "leave micro_batch and micro_tokens at 0 so that they are planned, or lower them"
	}
	return fmt.Errorf("training needs about %s with passes of %d tokens, and %s may be used; %s",
		size(p.PeakBytes), p.MicroTokens, size(limit), advice)
}

// largestPass returns the rows of the largest pass of the whole run and the
// number of passes.
func (r *runner) largestPass(micro, tokens int) (rows, passes int) {
	for s := range r.total {
		order := r.pack.canonical(r.order.step(s), r.cfg.MaxLen)
		cuts := r.pack.cut(order, micro, tokens)
		passes += len(cuts) - 1
		for i := range len(cuts) - 1 {
			rows = max(rows, r.pack.rows(order[cuts[i]:cuts[i+1]]))
		}
	}
	return rows, passes
}

func precision(mode kernel.Mode) string {
	if mode == kernel.F32 {
		return "f32"
	}
	return "bf16"
}

// size writes a number of bytes for people.
func size(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
}
