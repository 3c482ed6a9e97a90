package evals

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"dlm"
)

// Job is one evaluation: every arm on every item, judged by every scorer.
type Job struct {
	Golden dlm.Digest // of the golden set, recorded in the report
	Base   dlm.Digest // of the base
	Data   dlm.Digest // of the training rows that the arms use, if any

	Items    []dlm.Item
	Arms     []Arm
	Scorers  []Scorer
	Primary  string         // the metric that a gate reads; empty = the first scorer's first
	Sampling dlm.Sampling   // how completions are generated; the zero value is greedy
	Batch    int            // prompts a call, 0 = 8
	LogProbs dlm.Scorer     // needed by likelihood scorers only
	Level    float64        // of the intervals, 0 = 0.95
	Seed     uint64         // of the bootstrap
	Done     []DoneSample   // finished samples of a run that was cut off
	OnSample func(Progress) // called after each finished sample, also those of Done
}

// DoneSample is one finished sample of an arm.
type DoneSample struct {
	Arm    string     `json:"arm"`
	Sample dlm.Sample `json:"sample"`
}

// Progress tells of one finished sample. Write Arm and Sample somewhere to be
// able to resume: they are what Job.Done takes.
type Progress struct {
	Arm     string
	Sample  dlm.Sample
	Reused  bool // came from Job.Done
	Done    int  // samples of this arm finished so far
	Total   int  // samples of this arm
	ArmAt   int  // which arm, from 0
	ArmsAll int
}

// defaultBatch is how many prompts a generator call gets.
const defaultBatch = 8

// Run asks, scores and reports. Samples of job.Done are taken over where arm,
// item, prompt and target are the same, and scored anew. An item whose prompt
// the generator refuses (too long, say) becomes a sample with an error and no
// scores; when a whole call fails and no sample of the arm has succeeded yet,
// Run fails. A cancelled ctx ends it with ctx's error.
func Run(ctx context.Context, gen dlm.Generator, job Job) (dlm.Report, error) {
	if err := job.check(gen); err != nil {
		return dlm.Report{}, err
	}
	rep := dlm.Report{Golden: job.Golden, Base: job.Base, Data: job.Data, Primary: job.Primary, Items: len(job.Items)}
	if rep.Primary == "" {
		rep.Primary = job.Scorers[0].Metrics()[0]
	}
	var all []Arm
	for at, arm := range job.Arms {
		r := armRun{job: &job, gen: gen, arm: arm, at: at}
		samples, err := r.run(ctx)
		if err != nil {
			return dlm.Report{}, fmt.Errorf("arm %s: %w", arm.Name, err)
		}
		rep.Arms = append(rep.Arms, dlm.Arm{
			Name: arm.Name, Adapter: arm.Adapter, Shots: arm.Shots,
			Samples: samples,
		})
		all = append(all, arm)
	}
	names := job.metricNames()
	for i := range rep.Arms {
		Summarise(&rep.Arms[i], names, job.Level, job.Seed)
	}
	rep.Notes = notes(job, rep, all)
	return rep, nil
}

// check refuses a job that cannot give a fair comparison.
func (job *Job) check(gen dlm.Generator) error {
	if len(job.Items) == 0 {
		return errors.New("evaluation: the golden set has no items")
	}
	if len(job.Arms) == 0 {
		return errors.New("evaluation: no arms; name at least one, for example zero-shot")
	}
	if len(job.Scorers) == 0 {
		return errors.New("evaluation: no scorers; name at least one, for example exact")
	}
	if job.Batch <= 0 {
		job.Batch = defaultBatch
	}
	if job.Level == 0 {
		job.Level = DefaultLevel
	}
	if job.Level <= 0.5 || job.Level >= 1 {
		return fmt.Errorf("evaluation: level %v; expected a confidence level such as 0.95", job.Level)
	}
	seen := map[string]bool{}
	for _, a := range job.Arms {
		if seen[a.Name] {
			return fmt.Errorf("evaluation: two arms are called %q; rename one", a.Name)
		}
		seen[a.Name] = true
		if a.UsesModel() && gen == nil {
			return fmt.Errorf("evaluation: arm %s needs a generator", a.Name)
		}
	}
	for _, s := range job.Scorers {
		if _, ok := s.(LikelihoodScorer); ok && job.LogProbs == nil {
			return fmt.Errorf("evaluation: scorer %s needs log-probabilities, which this generator does not give", s.Metrics()[0])
		}
	}
	known := false
	for _, m := range job.metricNames() {
		known = known || m == job.Primary
	}
	if job.Primary != "" && !known {
		return fmt.Errorf("evaluation: primary metric %q comes from no scorer; there are %v", job.Primary, job.metricNames())
	}
	return nil
}

// metricNames lists the metrics in the order of the scorers.
func (job *Job) metricNames() []string {
	var names []string
	for _, s := range job.Scorers {
		names = append(names, s.Metrics()...)
	}
	return names
}

// armRun answers the golden set with one arm.
type armRun struct {
	job     *Job
	gen     dlm.Generator
	arm     Arm
	at      int
	samples []dlm.Sample // by item
	done    int
	good    int // finished without an error
}

func (r *armRun) run(ctx context.Context) ([]dlm.Sample, error) {
	r.samples = make([]dlm.Sample, len(r.job.Items))
	finished := map[string]dlm.Sample{}
	for _, d := range r.job.Done {
		if d.Arm == r.arm.Name {
			finished[d.Sample.ItemID] = d.Sample
		}
	}
	var todo []int
	for i, item := range r.job.Items {
		r.samples[i] = dlm.Sample{
			ItemID: item.ID, Cluster: item.Cluster, Tags: item.Tags,
			Prompt: r.arm.Prompt(item), Target: item.Target,
		}
		old, ok := finished[item.ID]
		if !ok || !r.reuse(i, old) {
			todo = append(todo, i)
		}
	}
	for len(todo) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(r.job.Batch, len(todo))
		if err := r.batch(ctx, todo[:n]); err != nil {
			return nil, err
		}
		todo = todo[n:]
	}
	return r.samples, nil
}

// reuse takes over a finished sample if it answers the same question, and says
// whether it did.
func (r *armRun) reuse(i int, old dlm.Sample) bool {
	s := &r.samples[i]
	if old.Finish == "error" || old.Finish == "" || old.Target != s.Target || !reflect.DeepEqual(old.Prompt, s.Prompt) {
		return false
	}
	scores := r.textScores(i, old.Completion)
	for _, sc := range r.job.Scorers {
		if _, ok := sc.(LikelihoodScorer); !ok || !r.arm.UsesModel() {
			continue
		}
		for _, m := range sc.Metrics() { // not to be had from the text alone
			kept, ok := old.Scores[m]
			if !ok {
				return false
			}
			scores[m] = kept
		}
	}
	s.Completion, s.Finish, s.Tokens, s.LatencyMS, s.Scores = old.Completion, old.Finish, old.Tokens, old.LatencyMS, scores
	r.good++
	r.tell(i, true)
	return true
}

// batch answers and scores the items at the given places.
func (r *armRun) batch(ctx context.Context, at []int) error {
	start := time.Now()
	errs := make([]error, len(at))
	if !r.arm.UsesModel() {
		for _, i := range at {
			r.samples[i].Completion = r.arm.complete(r.job.Items[i])
			r.samples[i].Finish = "stop"
		}
	} else if r.generates() {
		if err := r.generate(ctx, at, errs); err != nil {
			return err
		}
	}
	each := float64(time.Since(start).Microseconds()) / 1000 / float64(len(at))
	for j, i := range at {
		s := &r.samples[i]
		s.LatencyMS = each
		if errs[j] != nil {
			r.failed(i, errs[j])
			continue
		}
		s.Scores = r.textScores(i, s.Completion)
		if err := r.choose(ctx, i); err != nil {
			if ctx.Err() != nil || r.good == 0 {
				return err
			}
			r.failed(i, err)
			continue
		}
		r.good++
		r.tell(i, false)
	}
	return nil
}

// generates says whether any scorer reads a generated completion.
func (r *armRun) generates() bool {
	for _, s := range r.job.Scorers {
		if _, ok := s.(LikelihoodScorer); !ok {
			return true
		}
	}
	return false
}

// generate asks for a batch; when it fails, for each prompt alone, so that one
// prompt that is too long does not take its neighbours along.
func (r *armRun) generate(ctx context.Context, at []int, errs []error) error {
	reqs := make([]dlm.GenerateRequest, len(at))
	for j, i := range at {
		reqs[j] = dlm.GenerateRequest{Messages: r.samples[i].Prompt, Adapter: r.arm.Dir, Sampling: r.job.Sampling}
	}
	out, err := r.ask(ctx, reqs)
	if err == nil {
		for j, i := range at {
			r.answered(i, out[j])
		}
		return nil
	}
	failures := 0
	for j, i := range at {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		one := out
		if len(reqs) > 1 {
			one, err = r.ask(ctx, reqs[j:j+1])
		}
		if err != nil {
			errs[j] = err
			failures++
			continue
		}
		r.answered(i, one[0])
	}
	if failures == len(at) && r.good == 0 {
		return errs[0]
	}
	return nil
}

// ask calls the generator and insists on one completion a request.
func (r *armRun) ask(ctx context.Context, reqs []dlm.GenerateRequest) ([]dlm.Completion, error) {
	out, err := r.gen.Generate(ctx, reqs, nil)
	if err != nil {
		return nil, err
	}
	if len(out) != len(reqs) {
		return nil, fmt.Errorf("the generator gave %d completions for %d requests", len(out), len(reqs))
	}
	return out, nil
}

func (r *armRun) answered(i int, c dlm.Completion) {
	s := &r.samples[i]
	s.Completion, s.Finish, s.Tokens = c.Text, c.Finish, len(c.Tokens)
	if s.Finish == "" {
		s.Finish = "stop"
	}
}

// failed records an error; every metric of the sample is unscored, which a gate
// refuses: an arm must not look better for the questions it could not take.
func (r *armRun) failed(i int, err error) {
	s := &r.samples[i]
	s.Finish, s.Error = "error", err.Error()
	s.Scores = map[string]dlm.Score{}
	for _, m := range r.job.metricNames() {
		s.Scores[m] = unscored("no completion: %v", err)
	}
	r.tell(i, false)
}

// textScores judges a completion by every scorer that reads text.
func (r *armRun) textScores(i int, completion string) map[string]dlm.Score {
	scores := map[string]dlm.Score{}
	for _, sc := range r.job.Scorers {
		for name, v := range sc.Score(r.job.Items[i], completion) {
			scores[name] = v
		}
	}
	return scores
}

// choose judges item i by likelihood scorers, for arms with a model.
func (r *armRun) choose(ctx context.Context, i int) error {
	s := &r.samples[i]
	for _, sc := range r.job.Scorers {
		like, ok := sc.(LikelihoodScorer)
		if !ok || !r.arm.UsesModel() {
			continue
		}
		candidates, end := like.Candidates(r.job.Items[i])
		reqs := make([]dlm.ScoreRequest, len(candidates))
		for j, c := range candidates {
			reqs[j] = dlm.ScoreRequest{Messages: s.Prompt, Completion: c, EndOfTurn: end, Adapter: r.arm.Dir}
		}
		var scored []dlm.Scored
		if len(reqs) > 0 {
			start := time.Now()
			var err error
			if scored, err = r.job.LogProbs.Score(ctx, reqs); err != nil {
				return err
			}
			s.LatencyMS += float64(time.Since(start).Microseconds()) / 1000
		}
		scores, chosen := like.Choose(r.job.Items[i], scored)
		for name, v := range scores {
			s.Scores[name] = v
		}
		if !r.generates() {
			s.Completion, s.Finish = chosen, "choice"
		}
	}
	return nil
}

func (r *armRun) tell(i int, reused bool) {
	r.done++
	if r.job.OnSample != nil {
		r.job.OnSample(Progress{
			Arm: r.arm.Name, Sample: r.samples[i], Reused: reused,
			Done: r.done, Total: len(r.samples), ArmAt: r.at, ArmsAll: len(r.job.Arms),
		})
	}
}
