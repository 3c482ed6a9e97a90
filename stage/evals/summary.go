package evals

import (
	"fmt"
	"slices"
	"strings"

	"dlm"
	"dlm/internal/stats"
)

// DefaultLevel is the confidence level of intervals.
const DefaultLevel = 0.95

// resamples is how often the bootstrap draws.
const resamples = 4000

// Summarise computes the arm's metrics and its table by tag from its samples.
// names gives the metrics and their order.
func Summarise(arm *dlm.Arm, names []string, level float64, seed uint64) {
	arm.Metrics, arm.Tags = nil, nil
	for _, name := range names {
		arm.Metrics = append(arm.Metrics, Aggregate(name, arm.Samples, level, seed))
	}
	byTag := map[string][]dlm.Sample{}
	for _, s := range arm.Samples {
		for _, t := range slices.Compact(slices.Sorted(slices.Values(s.Tags))) {
			byTag[t] = append(byTag[t], s)
		}
	}
	for _, tag := range sortedKeys(byTag) {
		for _, name := range names {
			arm.Tags = append(arm.Tags, dlm.TagRow{Tag: tag, Metric: Aggregate(name, byTag[tag], level, seed)})
		}
	}
}

// Aggregate computes one metric over samples with its interval:
//
//	scores all 0 or 1   Wilson's ("wilson")
//	  shared clusters   Wilson's on the effective number of items, with
//	                    Student's t ("cluster wilson")
//	graded scores       BCa bootstrap over items ("bootstrap")
//	  shared clusters   the same over clusters ("cluster bootstrap")
//
// Graded scores without any spread, where the bootstrap would claim certainty,
// get Wilson's: of all scores from 0 to 1 with a given mean, 0 or 1 vary most,
// so it is too wide at worst. Without a scored sample, or with nothing to divide
// by, N is 0, Method "none" and the interval 0 to 1.
func Aggregate(name string, samples []dlm.Sample, level float64, seed uint64) dlm.Metric {
	m := dlm.Metric{Name: name, Level: level, High: 1, Method: "none"}
	var scores []dlm.Score
	var clusters []string
	for _, s := range samples {
		sc, ok := s.Scores[name]
		if !ok || sc.Unscored {
			m.Unscored++
			continue
		}
		scores = append(scores, sc)
		clusters = append(clusters, s.Cluster)
	}
	m.N = len(scores)
	if m.N == 0 {
		return m
	}
	parts, binary := parts(scores)
	if !counts(parts) { // a precision, say, of an arm that never gave a slot
		m.N = 0
		return m
	}
	groups := stats.Group(clusters)
	m.Value = quotient(parts, nil, groups)
	iv, method := interval(parts, groups, binary, m.Value, level, seed)
	m.Low, m.High, m.Method = min(iv.Low, m.Value), max(iv.High, m.Value), method
	return m
}

// part is a sample's share of numerator and denominator.
type part struct{ num, den float64 }

// parts returns the samples' shares: of a ratio metric their own, else value
// over 1. binary says that all values are 0 or 1 and the metric is no ratio.
func parts(scores []dlm.Score) (out []part, binary bool) {
	ratio := false
	binary = true
	for _, sc := range scores {
		ratio = ratio || sc.Ratio
		binary = binary && (sc.Value == 0 || sc.Value == 1)
	}
	for _, sc := range scores {
		if ratio {
			out = append(out, part{sc.Num, sc.Den})
		} else {
			out = append(out, part{sc.Value, 1})
		}
	}
	return out, binary && !ratio
}

// counts says whether there is anything to divide by.
func counts(parts []part) bool {
	return slices.ContainsFunc(parts, func(p part) bool { return p.den > 0 })
}

// quotient is the sum of numerators over the sum of denominators, each group
// taken drawn[g] times (once, when drawn is nil).
func quotient(parts []part, drawn []int32, groups stats.Clusters) float64 {
	var num, den float64
	for g, members := range groups.Groups {
		times := 1.0
		if drawn != nil {
			times = float64(drawn[g])
		}
		for _, i := range members {
			num += times * parts[i].num
			den += times * parts[i].den
		}
	}
	if den == 0 { // a resample with nothing to count
		return 0
	}
	return num / den
}

func interval(parts []part, groups stats.Clusters, binary bool, value, level float64, seed uint64) (stats.Interval, string) {
	prefix := ""
	if groups.Shared() {
		prefix = "cluster "
	}
	if !binary {
		iv, spread := stats.Bootstrap(len(groups.Groups), func(drawn []int32) float64 {
			return quotient(parts, drawn, groups)
		}, level, resamples, seed)
		if spread {
			return iv, prefix + "bootstrap"
		}
	}
	values := make([]float64, len(parts))
	n, z := 0.0, stats.Critical(level, 0)
	for i, p := range parts {
		if p.den > 0 {
			values[i] = p.num / p.den
			n++
		}
	}
	if groups.Shared() {
		n /= stats.DesignEffect(values, groups)
		z = stats.Critical(level, len(groups.Groups))
	}
	return stats.Wilson(value, n, z), prefix + "wilson"
}

// notes says what a reader of the numbers must know.
func notes(job Job, rep dlm.Report, arms []Arm) []string {
	var out []string
	seen := map[*Index]bool{}
	for _, a := range arms {
		if a.index == nil || seen[a.index] {
			continue
		}
		seen[a.index] = true
		if ids := a.index.Leaks(job.Items); len(ids) > 0 {
			out = append(out, fmt.Sprintf("%d of %d golden items also stand in the training rows (%s): those rows were kept out of examples and copies, but an adapter or the linear arm may have learnt them; run dlm data check", len(ids), len(job.Items), listIDs(ids)))
		}
	}
	clusters := make([]string, len(job.Items))
	for i, it := range job.Items {
		clusters[i] = it.Cluster
	}
	if g := stats.Group(clusters); g.Shared() {
		out = append(out, fmt.Sprintf("%d items stand in %d clusters; the intervals count clusters, not items, as independent", g.Items, len(g.Groups)))
		if len(g.Groups) < 20 {
			out = append(out, "fewer than 20 clusters: the intervals are rough")
		}
	}
	for _, a := range rep.Arms {
		var errs, cut []string
		for _, s := range a.Samples {
			switch s.Finish {
			case "error":
				errs = append(errs, s.ItemID)
			case "length":
				cut = append(cut, s.ItemID)
			}
		}
		if len(errs) > 0 {
			out = append(out, fmt.Sprintf("%s: %d items got no completion (%s) and are unscored; the first error stands with its sample", a.Name, len(errs), listIDs(errs)))
		}
		if len(cut) > 0 {
			out = append(out, fmt.Sprintf("%s: %d completions were cut off at the token limit (%s)", a.Name, len(cut), listIDs(cut)))
		}
	}
	return out
}

// listIDs names up to five ids.
func listIDs(ids []string) string {
	if len(ids) > 5 {
		return strings.Join(ids[:5], ", ") + ", ..."
	}
	return strings.Join(ids, ", ")
}

// Latency returns median and 95th percentile of the samples' latencies, in
// milliseconds; samples without a completion do not count.
func Latency(arm dlm.Arm) (median, p95 float64) {
	var ms []float64
	for _, s := range arm.Samples {
		if s.Finish != "error" {
			ms = append(ms, s.LatencyMS)
		}
	}
	if len(ms) == 0 {
		return 0, 0
	}
	slices.Sort(ms)
	return ms[(len(ms)-1)/2], ms[(len(ms)-1)*95/100]
}
