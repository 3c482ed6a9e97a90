package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dlm"
)

// stopPoll is how often a run looks for its stop file.
const stopPoll = 300 * time.Millisecond

// metricEvery bounds how often metrics are written to the store.
const metricEvery = time.Second

// StopFile is the file in a run's folder that asks it to stop.
const StopFile = "stop"

// Job is one execution of a stage, as its function sees it.
type Job struct {
	Dir     string // working folder of the run; what was there before is kept when resumed
	Resumed bool   // the folder may hold an earlier attempt's checkpoints

	mu     sync.Mutex
	run    dlm.Run
	node   Node
	inputs []dlm.Parent
	store  dlm.Store
	wrote  time.Time
	made   map[string]string // of Record
}

// Run returns what is recorded of the job.
func (j *Job) Run() dlm.Run {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.run
	r.Metrics = maps.Clone(r.Metrics)
	return r
}

// Inputs returns the artifacts it works on.
func (j *Job) Inputs() []dlm.Parent { return slices.Clone(j.inputs) }

// Input returns the artifact that plays the role.
func (j *Job) Input(ctx context.Context, role string) (dlm.Artifact, error) {
	for _, p := range j.inputs {
		if p.Role == role {
			return j.store.Artifact(ctx, p.ID)
		}
	}
	return dlm.Artifact{}, fmt.Errorf("%s has no input %s", j.node.Name, role)
}

// Folder lays out the files of the artifact that plays the role.
func (j *Job) Folder(ctx context.Context, role string) (string, error) {
	a, err := j.Input(ctx, role)
	if err != nil {
		return "", err
	}
	return j.store.Materialise(ctx, a.ID)
}

// Put stores the files at path as an output, with this job's lineage: its
// inputs as parents, its settings, its code.
func (j *Job) Put(ctx context.Context, kind dlm.Kind, name string, seed uint64, path string) (dlm.Artifact, error) {
	params := maps.Clone(j.node.Params)
	if params == nil {
		params = map[string]string{}
	}
	maps.Copy(params, j.made)
	params["stage"] = j.node.Name
	return j.store.Put(ctx, dlm.Artifact{Kind: kind, Name: name, Seed: seed, Code: j.node.Code, Params: params, Parents: j.inputs}, path)
}

// Record adds to what later outputs keep of how they were made: what is known
// only once it has happened, such as the versions of libraries. It is no setting
// of the stage.
func (j *Job) Record(made map[string]string) {
	if j.made == nil {
		j.made = map[string]string{}
	}
	maps.Copy(j.made, made)
}

// Metric records the last value of a metric. It reaches the store within a
// second or two, so that dlm runs list shows how far a run is.
func (j *Job) Metric(ctx context.Context, name string, v float64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.run.Metrics == nil {
		j.run.Metrics = map[string]float64{}
	}
	j.run.Metrics[name] = v
	if time.Since(j.wrote) < metricEvery {
		return nil
	}
	j.wrote = time.Now()
	return j.store.UpdateRun(ctx, j.run)
}

// execute runs or resumes one stage and records how it ended.
func (g *Graph) execute(ctx context.Context, n Node, s decision) (dlm.Run, []dlm.Artifact, error) {
	j, err := g.begin(ctx, n, s)
	if err != nil {
		return dlm.Run{}, nil, err
	}
	runCtx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watchStop(runCtx, filepath.Join(j.Dir, StopFile), func() { cancel(ErrStopped) })
	}()
	outputs, err := n.Do(runCtx, j)
	stopped := err != nil && runCtx.Err() != nil
	cancel(nil)
	<-watched

	j.mu.Lock()
	defer j.mu.Unlock()
	j.run.Ended = time.Now().UTC()
	switch {
	case err == nil:
		j.run.Status, j.run.Error = dlm.RunDone, ""
		for _, o := range outputs {
			j.run.Outputs = append(j.run.Outputs, o.ID)
		}
	case stopped:
		j.run.Status, j.run.Error = dlm.RunStopped, ""
		if !errors.Is(err, context.Canceled) && !errors.Is(err, ErrStopped) {
			j.run.Error = err.Error()
		}
		err = fmt.Errorf("%s: run %s: %w", n.Name, j.run.ID, ErrStopped)
	default:
		j.run.Status, j.run.Error = dlm.RunFailed, err.Error()
	}
	os.Remove(filepath.Join(j.Dir, StopFile))
	// The record must be written also when ctx was cancelled.
	if uerr := g.Store.UpdateRun(context.WithoutCancel(ctx), j.run); uerr != nil {
		err = errors.Join(err, fmt.Errorf("the run's end could not be recorded: %w", uerr))
	}
	return j.run, outputs, err
}

// begin records the start of a run, or takes over one to resume.
func (g *Graph) begin(ctx context.Context, n Node, s decision) (*Job, error) {
	j := &Job{node: n, inputs: s.inputs, store: g.Store}
	params := maps.Clone(n.Params)
	if params == nil {
		params = map[string]string{}
	}
	params["code"] = n.Code
	if s.Action == ActionResume {
		if s.resume.Status == dlm.RunRunning && !g.Exclusive {
			return nil, fmt.Errorf("run %s is being worked on by process %d: wait for it, or stop it with dlm runs stop %s", s.resume.ID, s.resume.PID, s.resume.ID)
		}
		j.run, j.Resumed = s.resume, true
		j.run.Status, j.run.PID, j.run.Ended, j.run.Error, j.run.Outputs = dlm.RunRunning, os.Getpid(), time.Time{}, "", nil
		if err := g.Store.UpdateRun(ctx, j.run); err != nil {
			return nil, err
		}
	} else {
		r, err := g.Store.BeginRun(ctx, dlm.Run{Stage: n.Name, Params: params, Inputs: s.inputs, Key: s.key})
		if err != nil {
			return nil, err
		}
		r.Dir = filepath.Join("runs", r.ID)
		if err := g.Store.UpdateRun(ctx, r); err != nil {
			return nil, err
		}
		j.run = r
	}
	j.Dir = RunDir(g.State, j.run)
	if err := os.MkdirAll(j.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("working folder of run %s: %w", j.run.ID, err)
	}
	os.Remove(filepath.Join(j.Dir, StopFile)) // of an earlier attempt
	return j, nil
}

// RunDir is the working folder of a run. It is recorded relative to .dlm, so
// that a project can be moved.
func RunDir(state string, r dlm.Run) string {
	if r.Dir == "" || filepath.IsAbs(r.Dir) || strings.Contains(r.Dir, "..") {
		return r.Dir
	}
	return filepath.Join(state, r.Dir)
}

// watchStop calls stop once the file appears, until ctx ends.
func watchStop(ctx context.Context, path string, stop func()) {
	t := time.NewTicker(stopPoll)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if _, err := os.Stat(path); err == nil {
				stop()
				return
			}
		}
	}
}
