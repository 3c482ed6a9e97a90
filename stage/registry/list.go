package registry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"dlm"
)

// ReportFile is the name of the JSON file in a report artifact.
const ReportFile = "report.json"

// Entry is one adapter as a list shows it.
type Entry struct {
	ID      dlm.Digest  `json:"id"`
	Name    string      `json:"name"`
	Created time.Time   `json:"created"`
	Aliases []string    `json:"aliases"` // that point at it now
	Outcome dlm.Outcome `json:"outcome"` // of the newest gate; empty = none
	Reason  string      `json:"reason"`  // of that gate
	Metric  *dlm.Metric `json:"metric"`  // the primary metric of the newest report, nil without one
}

// List returns all adapters, newest first.
func List(ctx context.Context, store dlm.Store) ([]Entry, error) {
	adapters, err := store.Artifacts(ctx, dlm.KindAdapter)
	if err != nil {
		return nil, err
	}
	history, err := store.History(ctx, "")
	if err != nil {
		return nil, err
	}
	aliases, seen := map[dlm.Digest][]string{}, map[string]bool{}
	for _, c := range history { // newest first
		if !seen[c.Alias] {
			seen[c.Alias] = true
			aliases[c.Adapter] = append(aliases[c.Adapter], c.Alias)
		}
	}
	out := make([]Entry, 0, len(adapters))
	for _, a := range adapters {
		e := Entry{ID: a.ID, Name: a.Name, Created: a.Created, Aliases: aliases[a.ID]}
		slices.Sort(e.Aliases)
		_, verdicts, err := Verdicts(ctx, store, a.ID)
		if err != nil {
			return nil, err
		}
		if len(verdicts) > 0 {
			e.Outcome, e.Reason = verdicts[0].Outcome, verdicts[0].Reason
		}
		arm, primary, err := armOf(ctx, store, a.ID)
		if err != nil {
			return nil, err
		}
		if m, ok := arm.Metric(primary); ok {
			e.Metric = &m
		}
		out = append(out, e)
	}
	return out, nil
}

// armOf finds the adapter's arm in the newest report that has one.
func armOf(ctx context.Context, store dlm.Store, adapter dlm.Digest) (dlm.Arm, string, error) {
	r, arm, _, err := Report(ctx, store, adapter)
	return arm, r.Primary, err
}

// Report returns the newest report on an adapter and the adapter's arm in it; ok
// is false when there is none.
func Report(ctx context.Context, store dlm.Store, adapter dlm.Digest) (r dlm.Report, arm dlm.Arm, ok bool, err error) {
	reports, err := store.Artifacts(ctx, dlm.KindReport)
	if err != nil {
		return r, arm, false, err
	}
	for _, a := range reports {
		if !slices.ContainsFunc(a.Parents, func(p dlm.Parent) bool { return p.ID == adapter }) {
			continue
		}
		r = dlm.Report{}
		if err := readJSON(ctx, store, a, ReportFile, &r); err != nil {
			return r, arm, false, err
		}
		for _, arm := range r.Arms {
			if arm.Adapter == adapter {
				return r, arm, true, nil
			}
		}
	}
	return dlm.Report{}, dlm.Arm{}, false, nil
}

// Difference is one thing in which two adapters differ.
type Difference struct {
	What string `json:"what"`
	A    string `json:"a"` // empty = not there
	B    string `json:"b"`
}

// MetricDifference sets a metric of two adapters side by side; a missing side
// is nil.
type MetricDifference struct {
	Name string      `json:"name"`
	A    *dlm.Metric `json:"a"`
	B    *dlm.Metric `json:"b"`
}

// Comparison is how two adapters differ.
type Comparison struct {
	A        dlm.Artifact       `json:"a"`
	B        dlm.Artifact       `json:"b"`
	Same     bool               `json:"same"`     // one and the same
	Settings []Difference       `json:"settings"` // recipe, seed, code
	Parents  []Difference       `json:"parents"`  // base, data, by role
	Files    []Difference       `json:"files"`    // content that differs
	Metrics  []MetricDifference `json:"metrics"`  // of their newest reports
}

// Diff compares two adapters: what they were made with, what they were made
// from, and how they did.
func Diff(ctx context.Context, store dlm.Store, a, b dlm.Digest) (Comparison, error) {
	var c Comparison
	var ea, eb error
	c.A, ea = store.Artifact(ctx, a)
	c.B, eb = store.Artifact(ctx, b)
	if err := errors.Join(ea, eb); err != nil {
		return c, err
	}
	c.Same = a == b
	c.Settings = differ(c.A.Params, c.B.Params)
	for _, d := range []Difference{{"code", c.A.Code, c.B.Code}, {"name", c.A.Name, c.B.Name}} {
		if d.A != d.B {
			c.Settings = append(c.Settings, d)
		}
	}
	c.Parents = differ(roles(c.A), roles(c.B))
	c.Files = differ(files(c.A), files(c.B))
	armA, _, ea := armOf(ctx, store, a)
	armB, _, eb := armOf(ctx, store, b)
	if err := errors.Join(ea, eb); err != nil {
		return c, err
	}
	for _, m := range armA.Metrics {
		d := MetricDifference{Name: m.Name, A: &m}
		if other, ok := armB.Metric(m.Name); ok {
			d.B = &other
		}
		c.Metrics = append(c.Metrics, d)
	}
	for _, m := range armB.Metrics {
		if _, both := armA.Metric(m.Name); !both {
			c.Metrics = append(c.Metrics, MetricDifference{Name: m.Name, B: &m})
		}
	}
	return c, nil
}

// differ lists the keys whose values differ.
func differ(a, b map[string]string) []Difference {
	keys := slices.Collect(maps.Keys(a))
	for k := range b {
		if _, both := a[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var out []Difference
	for _, k := range keys {
		if a[k] != b[k] {
			out = append(out, Difference{k, a[k], b[k]})
		}
	}
	return out
}

func roles(a dlm.Artifact) map[string]string {
	m := map[string]string{}
	for _, p := range a.Parents {
		m[p.Role] = strings.TrimSpace(m[p.Role] + " " + p.ID.Short())
	}
	return m
}

func files(a dlm.Artifact) map[string]string {
	m := map[string]string{}
	for _, f := range a.Files {
		m[f.Path] = f.Digest.Short()
	}
	return m
}
