package gate

import (
	"errors"
	"fmt"
	"math"

	"dlm"
	"dlm/internal/stats"
)

// Options are a gate's thresholds.
type Options struct {
	// Metric is compared; the higher, the better.
	Metric string
	// Margin is the largest drop that is allowed, as a part of 1: 2 points are 0.02.
	Margin float64
	// Level is the confidence of the two-sided interval of the difference; 0
	// means DefaultLevel.
	Level float64
	// Seed is that of the bootstrap (graded scores only).
	Seed uint64
}

// DefaultLevel gives each side an error of 2.5%, the convention for
// non-inferiority: a candidate that is worse by exactly the margin passes in at
// most about 1 of 40 gates, and one that is no worse by more than the margin
// fails in at most about 1 of 40. (0.90 would be the one-sided 5% test that
// some use; it decides with fewer items and is wrong twice as often.)
const DefaultLevel = 0.95

// resamples is how often the bootstrap draws.
const resamples = 10000

// Side is one of the two reports of a gate and the arm in it.
type Side struct {
	Report dlm.Report
	Arm    string
}

// DecideReports is Decide for arms of two reports, which must be of the same
// golden set. Without o.Metric the candidate's primary metric is taken. The
// bases may differ: a gate also guards a change of base.
func DecideReports(candidate, baseline Side, o Options) (dlm.Verdict, error) {
	if candidate.Report.Golden != baseline.Report.Golden {
		return dlm.Verdict{}, fmt.Errorf("gate: the candidate was evaluated on golden set %s, the baseline on %s; evaluate both on the same version",
			candidate.Report.Golden.Short(), baseline.Report.Golden.Short())
	}
	if o.Metric == "" {
		o.Metric = candidate.Report.Primary
	}
	c, err := findArm(candidate)
	if err != nil {
		return dlm.Verdict{}, err
	}
	b, err := findArm(baseline)
	if err != nil {
		return dlm.Verdict{}, err
	}
	return Decide(c, b, o)
}

func findArm(s Side) (dlm.Arm, error) {
	if a, ok := s.Report.Arm(s.Arm); ok {
		return a, nil
	}
	var names []string
	for _, a := range s.Report.Arms {
		names = append(names, a.Name)
	}
	return dlm.Arm{}, fmt.Errorf("gate: the report has no arm %q; it has %q", s.Arm, names)
}

// BestBaseline returns the arm with the highest value of metric among those
// without an adapter; the first of equals. Picking it by its luck on these very
// items makes the gate stricter for the candidate, never looser.
func BestBaseline(r dlm.Report, metric string) (dlm.Arm, error) {
	var best dlm.Arm
	var value float64
	found := false
	for _, a := range r.Arms {
		m, ok := a.Metric(metric)
		if a.Adapter != "" || !ok || m.N == 0 {
			continue
		}
		if !found || m.Value > value {
			best, value, found = a, m.Value, true
		}
	}
	if !found {
		return best, fmt.Errorf("gate: no baseline arm has the metric %q; add arms such as zero-shot to eval.arms and evaluate again", metric)
	}
	return best, nil
}

// Decide compares the two arms item by item. The verdict is
//
//	pass          when the interval's lower end is above -margin
//	fail          when its upper end is below -margin
//	inconclusive  when the margin lies inside: more items are needed
//
// Scores that are all 0 or 1 get Tango's score interval; where items share
// clusters its counts are divided by the design effect and Student's t takes
// the place of the normal quantile. Other scores get the paired BCa bootstrap,
// over clusters where there are any. McNemar's p-value is information only: it
// asks whether the two differ at all, not whether the drop is allowed.
//
// Both arms must have a score for the same items; errors say what to do.
func Decide(candidate, baseline dlm.Arm, o Options) (dlm.Verdict, error) {
	if o.Level == 0 {
		o.Level = DefaultLevel
	}
	v := dlm.Verdict{
		Metric: o.Metric, Candidate: candidate.Name, Baseline: baseline.Name,
		Margin: o.Margin, Level: o.Level,
		Fixed: []string{}, Broken: []string{}, // lists in JSON, also when empty
	}
	if err := o.check(); err != nil {
		return v, err
	}
	p, err := pairUp(candidate, baseline, o.Metric)
	if err != nil {
		return v, err
	}
	v.N = len(p.items)
	b, c := 0, 0
	for i, id := range p.items {
		switch cand, base := p.candidate[i].Value, p.baseline[i].Value; {
		case cand > base:
			v.Fixed = append(v.Fixed, id)
			b++
		case cand < base:
			v.Broken = append(v.Broken, id)
			c++
		}
	}
	v.McNemarP = stats.McNemar(b, c)
	v.Difference = p.difference(nil)
	iv, e := p.interval(o, float64(b), float64(c))
	v.Low, v.High, v.Method = iv.Low, iv.High, e.method
	switch {
	case v.Low > -o.Margin:
		v.Outcome = dlm.Pass
	case v.High < -o.Margin:
		v.Outcome = dlm.Fail
	default:
		v.Outcome = dlm.Inconclusive
		v.ItemsNeeded = itemsNeeded(p, v, e)
	}
	v.Reason = reason(p, v)
	return v, nil
}

func (o Options) check() error {
	if o.Metric == "" {
		return errors.New("gate: no metric; name one, for example eval.primary in dlm.yaml")
	}
	if !(o.Margin >= 0 && o.Margin < 1) {
		return fmt.Errorf("gate: margin %v; expected a drop from 0 to below 1, such as 0.02 (2pp)", o.Margin)
	}
	if !(o.Level > 0.5 && o.Level < 1) {
		return fmt.Errorf("gate: level %v; expected a confidence level such as 0.95", o.Level)
	}
	return nil
}

// estimate says how an interval was made.
type estimate struct {
	method string
	z      float64 // standard errors to each side
	effect float64 // design effect, 1 without clusters
}

// interval computes the interval of the difference; b and c count the items
// that only the candidate, only the baseline gets right.
func (p pairs) interval(o Options, b, c float64) (stats.Interval, estimate) {
	e := estimate{z: stats.Critical(o.Level, 0), effect: 1}
	prefix := ""
	if p.groups.Shared() {
		prefix = "cluster "
		e.z = stats.Critical(o.Level, len(p.groups.Groups))
		e.effect = stats.DesignEffect(p.differences(), p.groups)
	}
	n := float64(len(p.items))
	if !p.binary {
		iv, spread := stats.Bootstrap(len(p.groups.Groups), p.difference, o.Level, resamples, o.Seed)
		if spread {
			e.method = prefix + "paired bootstrap"
			return iv, e
		}
		// Every item differs by the same amount, most often by nothing. Scores of 0 or 1
		// with that mean vary most, so their interval is too wide at worst.
		d := p.difference(nil)
		b, c = math.Max(0, d)*n, math.Max(0, -d)*n
	}
	e.method = prefix + "tango"
	return stats.Tango(b/e.effect, c/e.effect, n/e.effect, e.z), e
}
