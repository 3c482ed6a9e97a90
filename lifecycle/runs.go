package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"dlm"
)

// StopRun asks a run to stop and waits up to wait for it to have done so: it
// writes its checkpoint first. A run whose process is gone already is no error.
func StopRun(ctx context.Context, store dlm.Store, state, id string, wait time.Duration) (dlm.Run, error) {
	r, err := store.Run(ctx, id)
	if err != nil {
		return r, err
	}
	if r.Status != dlm.RunRunning {
		return r, fmt.Errorf("run %s is not running: it is %s", r.ID, r.Status)
	}
	dir := RunDir(state, r)
	if dir == "" {
		return r, fmt.Errorf("run %s has no working folder; end process %d by hand", r.ID, r.PID)
	}
	if err := os.WriteFile(filepath.Join(dir, StopFile), nil, 0o644); err != nil {
		return r, fmt.Errorf("stop run %s: %w", r.ID, err)
	}
	for end := time.Now().Add(wait); ; {
		if r, err = store.Run(ctx, r.ID); err != nil || r.Status != dlm.RunRunning {
			return r, err
		}
		if time.Now().After(end) {
			return r, fmt.Errorf("run %s was asked to stop and has not done so after %s; it stops after the step it is in", r.ID, wait)
		}
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-time.After(stopPoll / 2):
		}
	}
}

// Resumable returns the run if it can be gone on with, else says why not.
func Resumable(ctx context.Context, store dlm.Store, id string) (dlm.Run, error) {
	r, err := store.Run(ctx, id)
	if err != nil {
		return r, err
	}
	switch r.Status {
	case dlm.RunStopped, dlm.RunCancelled, dlm.RunFailed:
		return r, nil
	case dlm.RunDone:
		return r, fmt.Errorf("run %s is done: there is nothing to resume", r.ID)
	}
	return r, fmt.Errorf("run %s is being worked on by process %d", r.ID, r.PID)
}

// Comparison sets two runs side by side.
type Comparison struct {
	A       dlm.Run        `json:"a"`
	B       dlm.Run        `json:"b"`
	Changes []Change       `json:"changes"` // of settings and inputs
	Metrics []MetricChange `json:"metrics"`
}

// MetricChange is one metric of two runs; a missing side is nil.
type MetricChange struct {
	Name string   `json:"name"`
	A    *float64 `json:"a"`
	B    *float64 `json:"b"`
}

// CompareRuns sets two runs of one stage side by side.
func CompareRuns(ctx context.Context, store dlm.Store, a, b string) (Comparison, error) {
	var c Comparison
	var ea, eb error
	c.A, ea = store.Run(ctx, a)
	c.B, eb = store.Run(ctx, b)
	if err := errors.Join(ea, eb); err != nil {
		return c, err
	}
	if c.A.Stage != c.B.Stage {
		return c, fmt.Errorf("run %s is of %s and run %s of %s: compare runs of one stage", c.A.ID, c.A.Stage, c.B.ID, c.B.Stage)
	}
	c.Changes = Changes(c.A.Params, c.B.Params, c.A.Inputs, c.B.Inputs)
	names := slices.Collect(maps.Keys(c.A.Metrics))
	for k := range c.B.Metrics {
		if _, both := c.A.Metrics[k]; !both {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		m := MetricChange{Name: n}
		if v, ok := c.A.Metrics[n]; ok {
			m.A = &v
		}
		if v, ok := c.B.Metrics[n]; ok {
			m.B = &v
		}
		c.Metrics = append(c.Metrics, m)
	}
	return c, nil
}
