package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"dlm"
)

// BeginRun records a run that starts now, in this process unless r.PID says
// otherwise, and returns it with ID, Started, PID and Status set. An ID that is
// given is kept; it must be new.
func (s *Store) BeginRun(ctx context.Context, r dlm.Run) (dlm.Run, error) {
	if r.Stage == "" {
		return r, errors.New("begin run: its stage is not set")
	}
	if r.Started.IsZero() {
		r.Started = s.now()
	}
	r.Started = r.Started.UTC()
	given := r.ID != ""
	if !given {
		r.ID = newRunID(r.Started)
	}
	if r.PID == 0 {
		r.PID = os.Getpid()
	}
	if r.Status == "" {
		r.Status = dlm.RunRunning
	}
	f, err := encodeRun(r)
	if err != nil {
		return r, fmt.Errorf("begin run %s: %w", r.ID, err)
	}
	err = s.tx(ctx, func(tx *sql.Tx) error {
		for !given { // another process may have taken the same digits
			var taken int
			if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM runs WHERE id = ?`, r.ID).Scan(&taken); err != nil {
				return err
			}
			if taken == 0 {
				break
			}
			r.ID = newRunID(r.Started)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO runs
			(id, seq, stage, status, started, ended, pid, process, params, inputs, outputs, metrics, dir, error, key, author)
			VALUES (?, (SELECT coalesce(max(seq), 0) + 1 FROM runs), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			r.ID, r.Stage, r.Status, r.Started.UnixNano(), nanos(r.Ended), r.PID, processOf(r.PID),
			f.params, f.inputs, f.outputs, f.metrics, r.Dir, r.Error, r.Key, s.author)
		return err
	})
	if err != nil {
		return r, fmt.Errorf("begin run %s: %w", r.ID, err)
	}
	return r, nil
}

// UpdateRun replaces what is recorded of a run. Setting Status to running again
// with this process's PID takes over a run that was cut off or stopped.
func (s *Store) UpdateRun(ctx context.Context, r dlm.Run) error {
	f, err := encodeRun(r)
	if err != nil {
		return fmt.Errorf("update run %s: %w", r.ID, err)
	}
	err = s.tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE runs SET stage = ?, status = ?, started = ?, ended = ?,
			process = CASE WHEN pid = ? THEN process ELSE ? END, pid = ?,
			params = ?, inputs = ?, outputs = ?, metrics = ?, dir = ?, error = ?, key = ? WHERE id = ?`,
			r.Stage, r.Status, nanos(r.Started), nanos(r.Ended), r.PID, processOf(r.PID), r.PID,
			f.params, f.inputs, f.outputs, f.metrics, r.Dir, r.Error, r.Key, r.ID)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, fmt.Errorf("%w in the store", ErrNotFound))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("update run %s: %w", r.ID, err)
	}
	return nil
}

// Run returns the run with that ID or unique prefix of it. A run whose process
// is gone comes back as cut off.
func (s *Store) Run(ctx context.Context, id string) (dlm.Run, error) {
	var found []dlm.Run
	err := s.eachRun(ctx, `WHERE id = ?1 OR substr(id, 1, length(?1)) = ?1 ORDER BY id = ?1 DESC, seq DESC LIMIT 2`, func(r dlm.Run) { found = append(found, r) }, id)
	switch {
	case err != nil:
		return dlm.Run{}, fmt.Errorf("run %s: %w", id, err)
	case id == "" || len(found) == 0:
		return dlm.Run{}, fmt.Errorf("run %q: %w in the store", id, ErrNotFound)
	case len(found) > 1 && found[0].ID != id:
		return dlm.Run{}, fmt.Errorf("run %q: several start so (%s, %s); give more of it", id, found[0].ID, found[1].ID)
	}
	return found[0], nil
}

// Runs lists all runs, newest first.
func (s *Store) Runs(ctx context.Context) ([]dlm.Run, error) {
	var out []dlm.Run
	err := s.eachRun(ctx, `ORDER BY seq DESC`, func(r dlm.Run) { out = append(out, r) })
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return out, nil
}

func (s *Store) eachRun(ctx context.Context, where string, f func(dlm.Run), args ...any) error {
	return each(ctx, s.db, `SELECT id, stage, status, started, ended, pid, process, params, inputs, outputs, metrics, dir, error, key FROM runs `+where,
		func(scan func(...any) error) error {
			var r dlm.Run
			var started, ended int64
			var process string
			var e encodedRun
			if err := scan(&r.ID, &r.Stage, &r.Status, &started, &ended, &r.PID, &process,
				&e.params, &e.inputs, &e.outputs, &e.metrics, &r.Dir, &r.Error, &r.Key); err != nil {
				return err
			}
			r.Started = time.Unix(0, started).UTC()
			if ended != 0 {
				r.Ended = time.Unix(0, ended).UTC()
			}
			if err := e.decode(&r); err != nil {
				return fmt.Errorf("run %s: %w", r.ID, err)
			}
			if r.Status == dlm.RunRunning && processGone(r.PID, process) {
				r.Status = dlm.RunCancelled
			}
			f(r)
			return nil
		}, args...)
}

// encodedRun is a run's structured fields as JSON.
type encodedRun struct{ params, inputs, outputs, metrics string }

func encodeRun(r dlm.Run) (encodedRun, error) {
	var e encodedRun
	metrics := make(map[string]any, len(r.Metrics))
	for k, v := range r.Metrics {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			metrics[k] = strconv.FormatFloat(v, 'g', -1, 64) // JSON has no number for it
		} else {
			metrics[k] = v
		}
	}
	for _, f := range []struct {
		to *string
		v  any
	}{{&e.params, nonNil(r.Params)}, {&e.inputs, append([]dlm.Parent{}, r.Inputs...)}, {&e.outputs, append([]dlm.Digest{}, r.Outputs...)}, {&e.metrics, metrics}} {
		b, err := json.Marshal(f.v)
		if err != nil {
			return e, err
		}
		*f.to = string(b)
	}
	return e, nil
}

func (e encodedRun) decode(r *dlm.Run) error {
	var metrics map[string]any
	if err := errors.Join(json.Unmarshal([]byte(e.params), &r.Params), json.Unmarshal([]byte(e.inputs), &r.Inputs),
		json.Unmarshal([]byte(e.outputs), &r.Outputs), json.Unmarshal([]byte(e.metrics), &metrics)); err != nil {
		return err
	}
	r.Metrics = make(map[string]float64, len(metrics))
	for k, v := range metrics {
		switch v := v.(type) {
		case float64:
			r.Metrics[k] = v
		case string:
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return fmt.Errorf("metric %s: %w", k, err)
			}
			r.Metrics[k] = f
		}
	}
	return nil
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// newRunID is short, starts with "r-", and sorts by start time to the
// millisecond; the last two digits tell apart what starts within one.
func newRunID(t time.Time) string {
	var b [1]byte
	rand.Read(b[:])
	t = t.UTC()
	return fmt.Sprintf("r-%s-%03d%s", t.Format("060102-150405"), t.Nanosecond()/1e6, hex.EncodeToString(b[:]))
}
