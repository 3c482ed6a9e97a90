package train

import (
	"fmt"
	"iter"
	"runtime/debug"

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
	Computed    int              // rows that go through the base in a whole run
	Shared      int              // rows that shared prefixes save of it
	MicroTokens int              // rows of the largest pass
	Passes      int              // forward and backward passes of a whole run
	Recomputed  int              // layers whose activations are computed again
	Layers      int              // of the base
	Bytes       map[string]int64 // by use
	PeakBytes   int64            // sum of Bytes
	Available   int64            // bytes that this process may still take; 0 = unknown
	Warnings    []string
}

// PlanMemory returns the bytes that training a on m will take, by use, with
// passes of at most microTokens rows: "weights", "adapter", "optimiser",
// what model.PassBytes lists ("activations", "scratch", "attention", "logits"),
// "cache" for samples, and "runtime", an allowance for the program itself. A
// checkpoint is written from where its values stand.
func PlanMemory(m *model.Model, a *lora.Adapter, microTokens int, cacheBytes int64, again ...model.Recompute) map[string]int64 {
	n := a.Parameters()
	bytes := model.PassBytes(m.Config(), m.Mode(), microTokens, a.Rank(), true, m.Exec().Threads(), again...)
	bytes["weights"] = m.Bytes()
	bytes["adapter"] = a.Bytes()
	bytes["optimiser"] = n * (4 + 8) // gradient, two moments
	bytes["runtime"] = runtimeBytes
	if cacheBytes > 0 {
		bytes["cache"] = cacheBytes
	}
	return bytes
}

const (
	// runtimeBytes covers the program, its tokenizer and what waits for collection
	// where the resident set cannot be read.
	runtimeBytes = 64 << 20
	// growth is what a run adds to the resident set that no plan lists: stacks,
	// the kernels' own scratch, the lists of a step.
	growth = 8 << 20
)

// settled returns the resident set after a collection: what this process has
// taken before a run begins, its garbage given back. 0 where it cannot be read.
var settled = func() int64 {
	debug.FreeOSMemory()
	return residentBytes()
}

// Preview plans a run without starting it.
func Preview(m *model.Model, a *lora.Adapter, data, held []Example, cfg Config) (Plan, error) {
	r, err := newRunner(m, a, data, held, cfg)
	if err != nil {
		return Plan{}, err
	}
	return r.plan, nil
}

// Sizes of a pass in rows, and what a step takes with them. Measured on
// SmolLM2-135M in bf16 with 16 rows of 128 tokens a step, processor time a step
// by rows a pass: 128: 3.6 s, 256: 3.4 s, 512: 3.3 s, 1024: 3.4 s, 2048: 3.5 s.
// More rows only cost memory.
var passSizes = []struct {
	rows int
	time float64 // relative
}{{512, 1}, {256, 1.03}, {128, 1.09}, {0, 1.2}} // 0: as the longest example needs

// recomputeTime is what computing every layer again adds to a step, relative.
const recomputeTime = 0.3

// share of the available memory that a plan may take: the rest is for what a
// plan cannot see (the runtime, file pages, other processes' growth).
const share = 0.9

// makePlan counts tokens and steps and chooses the size of a pass.
func (r *runner) makePlan() error {
	p := Plan{
		Kernels: r.m.Exec().Name(), Threads: r.m.Exec().Threads(), Precision: precision(r.mode),
		Examples: len(r.data), Held: len(r.held), Steps: r.total, Parameters: r.adapter.Parameters(),
		Layers: r.m.Config().Layers,
	}
	r.exec.Forget() // a pass before this one, such as Probe's
	resident := settled()
	p.Available = availableBytes("/")
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
	if err := r.choosePass(&p, longest, resident); err != nil {
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

// choosePass sets how a step is cut and how many layers are computed again: the
// fastest way that fits.
func (r *runner) choosePass(p *Plan, longest int, resident int64) error {
	limit := r.cfg.MemoryLimit
	if limit == 0 {
		limit = int64(share*float64(p.Available)) + max(resident, r.m.Bytes()+r.adapter.Bytes())
	}
	unlimited := p.Available == 0 && r.cfg.MemoryLimit == 0
	var best, least Plan
	bestTime, found := 0.0, false
	for _, w := range r.ways(p, longest) {
		q := *p
		r.largestPass(&q, w, longest)
		for again := range r.recomputable() {
			q.Recomputed = again
			q.Bytes = PlanMemory(r.m, r.adapter, q.MicroTokens, r.cfg.CacheBytes, model.Recompute(again))
			if resident > 0 {
				q.Bytes["runtime"] = max(0, resident-q.Bytes["weights"]-q.Bytes["adapter"]) + growth
			}
			q.PeakBytes = 0
			for _, b := range q.Bytes {
				q.PeakBytes += b
			}
			if least.PeakBytes == 0 || q.PeakBytes < least.PeakBytes {
				least = q
			}
			if q.PeakBytes > limit && !unlimited {
				continue
			}
			if time := w.time * (1 + recomputeTime*float64(again)/float64(p.Layers)); !found || time < bestTime {
				best, bestTime, found = q, time, true
				r.micro, r.microTokens = w.examples, w.rows
			}
			break // fewer fit not, more take longer
		}
	}
	if found {
		*p = best
		r.heldPack.groups.limit = p.MicroTokens
		return nil
	}
	advice := "shorten the longest example (max_len), lower the rank, or use a machine with more memory"
	switch {
	case r.cfg.Checkpointing == "off":
		advice = "set checkpointing to auto"
	case r.cfg.MicroBatch > 1 || r.cfg.MicroTokens > 0:
		advice = "leave micro_batch and micro_tokens at 0 so that they are planned, or lower them"
	}
	return fmt.Errorf("training needs about %s with passes of %d tokens, and %s may be used; %s",
		size(least.PeakBytes), least.MicroTokens, size(limit), advice)
}

// way is one way to cut a step: the most examples and rows of a pass (0: any
// number), and what a step takes that way, relative.
type way struct {
	examples, rows int
	time           float64
}

// ways lists how steps may be cut.
func (r *runner) ways(p *Plan, longest int) (list []way) {
	examples := r.cfg.MicroBatch
	if examples == 0 && !r.cfg.Packing {
		examples = 1
	}
	switch {
	case r.cfg.MicroTokens > 0:
		if r.cfg.MicroTokens < longest {
			p.Warnings = append(p.Warnings, fmt.Sprintf("micro_tokens %d is less than the longest example; passes hold up to %d rows", r.cfg.MicroTokens, longest))
		}
		return []way{{examples, r.cfg.MicroTokens, 1}}
	case r.cfg.MicroBatch > 0 || !r.cfg.Packing:
		return []way{{examples, 0, 1}}
	}
	for _, s := range passSizes {
		rows := s.rows
		if rows == 0 {
			rows = longest
		}
		list = append(list, way{0, rows, s.time})
	}
	return list
}

// recomputable lists how many layers may be computed again, the fewest first.
func (r *runner) recomputable() iter.Seq[int] {
	most := int(r.m.Most())
	return func(yield func(int) bool) {
		lo, hi := 0, most
		switch r.cfg.Checkpointing {
		case "on":
			lo = most
		case "off":
			hi = 0
		}
		for n := lo; n <= hi && yield(n); n++ {
		}
	}
}

// largestPass counts the rows and the passes of the whole run, and the rows of
// the largest pass.
func (r *runner) largestPass(p *Plan, w way, longest int) {
	p.MicroTokens, p.Passes, p.Computed, p.Shared = longest, 0, 0, 0
	for s := range r.total {
		step := r.order.step(s)
		units := r.pack.canonical(step, r.cfg.MaxLen)
		cuts := r.pack.cut(units, w.examples, w.rows)
		p.Passes += len(cuts) - 1
		for i := range len(cuts) - 1 {
			p.MicroTokens = max(p.MicroTokens, rowsOf(units[cuts[i]:cuts[i+1]]))
		}
		p.Computed += rowsOf(units)
		for _, i := range step {
			p.Shared += r.pack.size[i]
		}
	}
	p.Shared -= p.Computed
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
