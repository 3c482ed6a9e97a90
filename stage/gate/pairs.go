package gate

import (
	"fmt"
	"strings"

	"dlm"
	"dlm/internal/stats"
)

// pairs are the scores of two arms, item by item.
type pairs struct {
	items     []string
	candidate []dlm.Score
	baseline  []dlm.Score
	groups    stats.Clusters
	binary    bool // all scores 0 or 1 and no ratio metric
	ratio     bool // the metric is a ratio of sums
}

// pairUp matches the arms' samples by item id, in the order of the baseline.
func pairUp(candidate, baseline dlm.Arm, metric string) (pairs, error) {
	var p pairs
	p.binary = true
	if err := sameItems(candidate, baseline); err != nil {
		return p, err
	}
	byID := make(map[string]dlm.Sample, len(candidate.Samples))
	for _, s := range candidate.Samples {
		byID[s.ItemID] = s
	}
	var clusters []string
	var unscored [2][]string
	for _, bs := range baseline.Samples {
		cs := byID[bs.ItemID]
		if bs.Target != cs.Target || bs.Cluster != cs.Cluster {
			return p, fmt.Errorf("gate: item %q has another target or cluster in %s than in %s; evaluate both on the same golden set", bs.ItemID, candidate.Name, baseline.Name)
		}
		c, okC := cs.Scores[metric]
		b, okB := bs.Scores[metric]
		if !okC || !okB {
			arm := candidate
			if okC {
				arm = baseline
			}
			return p, fmt.Errorf("gate: arm %s has no metric %q (item %q); it has %s; evaluate again with a scorer that gives it", arm.Name, metric, bs.ItemID, metricNames(arm))
		}
		if c.Unscored {
			unscored[0] = append(unscored[0], bs.ItemID)
		}
		if b.Unscored {
			unscored[1] = append(unscored[1], bs.ItemID)
		}
		p.items = append(p.items, bs.ItemID)
		p.candidate, p.baseline = append(p.candidate, c), append(p.baseline, b)
		clusters = append(clusters, bs.Cluster)
		p.ratio = p.ratio || c.Ratio || b.Ratio
		for _, v := range []float64{c.Value, b.Value} {
			if !(v >= 0 && v <= 1) {
				return p, fmt.Errorf("gate: metric %q of item %q is %v; expected a score from 0 to 1", metric, bs.ItemID, v)
			}
			p.binary = p.binary && (v == 0 || v == 1)
		}
	}
	for i, arm := range []dlm.Arm{candidate, baseline} {
		if ids := unscored[i]; len(ids) > 0 {
			return p, fmt.Errorf("gate: %d items of arm %s are unscored by %q (%s); see their samples for the reason, mend the golden items or the arm, and evaluate again", len(ids), arm.Name, metric, some(ids))
		}
	}
	p.binary = p.binary && !p.ratio
	if p.ratio {
		for i, scores := range [][]dlm.Score{p.candidate, p.baseline} {
			if !countable(scores) {
				arm := []dlm.Arm{candidate, baseline}[i]
				return p, fmt.Errorf("gate: arm %s has nothing that %q counts; gate on another metric", arm.Name, metric)
			}
		}
	}
	p.groups = stats.Group(clusters)
	return p, nil
}

// countable says whether a ratio metric has anything to divide by.
func countable(scores []dlm.Score) bool {
	for _, s := range scores {
		if s.Den > 0 {
			return true
		}
	}
	return false
}

// sameItems insists that both arms answered each item once.
func sameItems(candidate, baseline dlm.Arm) error {
	if len(candidate.Samples) == 0 || len(baseline.Samples) == 0 {
		return fmt.Errorf("gate: arm %s has %d samples, arm %s has %d; evaluate both first", candidate.Name, len(candidate.Samples), baseline.Name, len(baseline.Samples))
	}
	var seen [2]map[string]bool
	for i, arm := range []dlm.Arm{candidate, baseline} {
		seen[i] = make(map[string]bool, len(arm.Samples))
		for _, s := range arm.Samples {
			if seen[i][s.ItemID] {
				return fmt.Errorf("gate: arm %s has item %q twice; the report is damaged, evaluate again", arm.Name, s.ItemID)
			}
			seen[i][s.ItemID] = true
		}
	}
	for i, arm := range []dlm.Arm{candidate, baseline} {
		var missing []string
		for _, s := range []dlm.Arm{baseline, candidate}[i].Samples {
			if !seen[i][s.ItemID] {
				missing = append(missing, s.ItemID)
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("gate: arm %s lacks %d of the other's items (%s); a paired comparison needs both on all items: evaluate both on the same golden set", arm.Name, len(missing), some(missing))
		}
	}
	return nil
}

// differences returns candidate minus baseline by item.
func (p pairs) differences() []float64 {
	d := make([]float64, len(p.items))
	for i := range d {
		d[i] = p.candidate[i].Value - p.baseline[i].Value
	}
	return d
}

// difference is the candidate's metric minus the baseline's, each group of
// items taken drawn[g] times (once, when drawn is nil).
func (p pairs) difference(drawn []int32) float64 {
	var num, den [2]float64
	for g, members := range p.groups.Groups {
		times := 1.0
		if drawn != nil {
			times = float64(drawn[g])
		}
		for _, i := range members {
			for side, sc := range []dlm.Score{p.candidate[i], p.baseline[i]} {
				if p.ratio {
					num[side] += times * sc.Num
					den[side] += times * sc.Den
				} else {
					num[side] += times * sc.Value
					den[side] += times
				}
			}
		}
	}
	return quotient(num[0], den[0]) - quotient(num[1], den[1])
}

// quotient is num/den; 0 for a resample with nothing to count.
func quotient(num, den float64) float64 {
	if den == 0 {
		return 0
	}
	return num / den
}

// some names up to five ids.
func some(ids []string) string {
	if len(ids) > 5 {
		return strings.Join(ids[:5], ", ") + ", ..."
	}
	return strings.Join(ids, ", ")
}

func metricNames(a dlm.Arm) string {
	var names []string
	for _, m := range a.Metrics {
		names = append(names, m.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
