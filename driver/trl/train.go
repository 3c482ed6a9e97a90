package trl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"dlm"
)

// Train runs, resumes or attaches to the job in job.Dir, and writes the adapter
// to job.Out. Cancelling ctx lets the program write a checkpoint; a program that
// fails or dies is an error that says why (*Failure), and the next call goes on
// from its last checkpoint.
func (t *TRL) Train(ctx context.Context, job dlm.TrainJob, emit func(dlm.TrainEvent)) (dlm.TrainResult, error) {
	if job.Dir == "" || job.Out == "" {
		return dlm.TrainResult{}, errors.New("training needs a working folder for its checkpoints and a folder to write the adapter to")
	}
	p, err := t.prepare(job)
	if err != nil {
		return dlm.TrainResult{}, err
	}
	if p.job.Method == "grpo" && job.Reward == nil {
		return dlm.TrainResult{}, errors.New("grpo needs a reward: name scorers under train.rewards")
	}
	if emit == nil {
		emit = func(dlm.TrainEvent) {}
	}
	if err := os.MkdirAll(job.Dir, 0o755); err != nil {
		return dlm.TrainResult{}, err
	}
	unlock, err := lock(job.Dir)
	if err != nil {
		return dlm.TrainResult{}, err
	}
	defer unlock()
	b, err := t.bundle(ctx, p, p.job.Recipe, job.Dir)
	if err != nil {
		return dlm.TrainResult{}, err
	}
	f := &follower{t: t, b: b, reward: job.Reward, emit: emit}
	if err := f.run(ctx); err != nil {
		return dlm.TrainResult{}, err
	}
	return t.collect(ctx, b, f, job.Out)
}

// collect brings the adapter back and lets it through the checks of ours.
func (t *TRL) collect(ctx context.Context, b Bundle, f *follower, out string) (dlm.TrainResult, error) {
	if err := t.o.Place.Fetch(ctx, b); err != nil {
		return dlm.TrainResult{}, fmt.Errorf("bringing the adapter back from %s: %w; the same command tries again", t.o.Place.Name(), err)
	}
	dir := b.Path(OutDir)
	if _, err := os.Stat(filepath.Join(dir, "adapter_model.safetensors")); err != nil {
		return dlm.TrainResult{}, fmt.Errorf("the program says that it is done, but left no adapter: %w", err)
	}
	if err := t.o.Bind(dir, out); err != nil {
		return dlm.TrainResult{}, fmt.Errorf("the trained adapter was not written: %w", err)
	}
	d := f.s.done
	return dlm.TrainResult{
		Dir: out, Steps: d.Step, StoppedEarly: d.StoppedEarly, Loss: d.Loss, EvalLoss: d.EvalLoss, BestStep: d.BestStep,
		Tokens: d.Tokens, Seconds: d.Seconds, PeakBytes: d.PeakBytes, Resumed: d.Resumed, Made: f.s.made(t.o.Place.Name()),
	}, nil
}

// follower follows the program of one job, from what it said before to its end.
type follower struct {
	t      *TRL
	b      Bundle
	reward func(ctx context.Context, rollouts []dlm.Rollout) ([]float64, error)
	emit   func(dlm.TrainEvent)

	s       seen
	offset  int64
	p       parser
	word    time.Time // of the last event, or of the last note that there is none
	asked   time.Time // when the program was asked to stop
	restart bool      // it was started again after an earlier command's stop
}

// quiet is how long the program may say nothing before the user is told.
const quiet = 5 * time.Minute

// run returns when the program is done; otherwise with an error.
func (f *follower) run(ctx context.Context) error {
	if err := f.history(ctx); err != nil {
		return err
	}
	if f.s.done != nil {
		return nil // a finished job is not run again
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f.begin(ctx); err != nil {
			return err
		}
		if err := f.follow(ctx); err != nil {
			return err
		}
		switch {
		case f.s.failed != nil, f.s.done == nil && !f.s.stopped:
			return f.failure(ctx)
		case ctx.Err() != nil:
			return ctx.Err()
		case f.s.done != nil:
			return nil
		case f.restart:
			return fmt.Errorf("the training program stopped at step %d though nobody asked it to", f.s.step.Step)
		}
		f.note("an earlier command had asked the program to stop; it is started again from its checkpoint")
		f.restart = true
	}
}

// history reads what the program wrote before this call, without showing it.
func (f *follower) history(ctx context.Context) error {
	for {
		raw, _, err := f.t.o.Place.Poll(ctx, f.b, f.offset)
		if err != nil {
			return fmt.Errorf("reading the events on %s: %w", f.t.o.Place.Name(), err)
		}
		if len(raw) == 0 {
			return nil
		}
		f.offset += int64(len(raw))
		f.p.push(raw, f.s.take)
	}
}

func (f *follower) begin(ctx context.Context) error {
	begun, err := f.t.o.Place.Begin(ctx, f.b)
	if err != nil {
		return err
	}
	if begun.Note != "" {
		f.note(begun.Note)
	}
	f.word, f.asked = time.Now(), time.Time{}
	if !begun.Attached {
		f.s.restarted()
		return nil
	}
	f.note(fmt.Sprintf("the training goes on already, on %s: attached at step %d of %d", f.t.o.Place.Name(), f.s.step.Step, f.b.Job.Steps))
	if f.s.rollout != nil { // nobody has answered it
		return f.answer(ctx, *f.s.rollout)
	}
	return nil
}

// follow shows events until the program has ended.
func (f *follower) follow(ctx context.Context) error {
	quietly := context.WithoutCancel(ctx) // it must be followed to its checkpoint
	for {
		if ctx.Err() != nil && f.asked.IsZero() {
			f.asked = time.Now()
			if err := f.t.o.Place.Put(quietly, f.b, StopFile, nil); err != nil {
				return errors.Join(ctx.Err(), fmt.Errorf("asking the program to stop: %w; it goes on", err))
			}
		}
		raw, alive, err := f.t.o.Place.Poll(quietly, f.b, f.offset)
		if err != nil {
			return fmt.Errorf("following the training on %s: %w; it may go on there, the same command attaches to it", f.t.o.Place.Name(), err)
		}
		if len(raw) == 0 && !alive {
			return nil
		}
		if err := f.news(quietly, raw); err != nil {
			return err
		}
		if len(raw) > 0 {
			continue
		}
		if err := f.patience(quietly); err != nil {
			return err
		}
		if f.asked.IsZero() {
			select {
			case <-ctx.Done():
			case <-time.After(f.t.o.PollEvery):
			}
		} else {
			time.Sleep(f.t.o.PollEvery)
		}
	}
}

// news takes a chunk of events, shows them, and answers rollouts.
func (f *follower) news(ctx context.Context, raw []byte) error {
	f.offset += int64(len(raw))
	var err error
	f.p.push(raw, func(e Event) {
		f.word = time.Now()
		f.s.take(e)
		if shown, ok := f.s.show(e); ok {
			if shown.Steps == 0 {
				shown.Step, shown.Steps = f.s.step.Step, f.b.Job.Steps
			}
			f.emit(shown)
		}
		if e.Kind == "rollout" && err == nil {
			err = f.answer(ctx, e)
		}
	})
	return err
}

// answer scores the completions of a rollout. When that fails, nobody will answer
// the program: it is ended, and goes on from its last checkpoint another time.
func (f *follower) answer(ctx context.Context, e Event) error {
	rewards, err := f.reward(ctx, e.Rollouts)
	if err == nil && len(rewards) != len(e.Rollouts) {
		err = fmt.Errorf("%d rewards for %d completions", len(rewards), len(e.Rollouts))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("rewards of rollout %d: %w", e.N, err), f.t.o.Place.Kill(ctx, f.b))
	}
	raw, err := json.Marshal(map[string]any{"rewards": rewards})
	if err != nil {
		return fmt.Errorf("rewards of rollout %d: %w", e.N, err)
	}
	return f.t.o.Place.Put(ctx, f.b, fmt.Sprintf("%s/%d.json", RewardsDir, e.N), raw)
}

// patience ends a program that was asked to stop and does not, and tells the user
// of one that says nothing.
func (f *follower) patience(ctx context.Context) error {
	if !f.asked.IsZero() && time.Since(f.asked) > f.t.o.StopWait {
		err := fmt.Errorf("the program was asked to stop and has not done so after %s: it was ended; the same command goes on from its last checkpoint", f.t.o.StopWait)
		return errors.Join(err, f.t.o.Place.Kill(ctx, f.b))
	}
	if time.Since(f.word) > quiet {
		f.word = time.Now()
		f.note(fmt.Sprintf("no word from the program for %s; it runs still (its log: %s)", quiet, f.b.Path(LogFile)))
	}
	return nil
}

func (f *follower) note(text string) {
	f.emit(dlm.TrainEvent{Kind: "note", Step: f.s.step.Step, Steps: f.b.Job.Steps, Text: text})
}
