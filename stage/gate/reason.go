package gate

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"dlm"
)

// power is the chance of a decision that itemsNeeded plans for.
const power = 0.8

// mostItems is where a number of items stops being advice.
const mostItems = 1_000_000

// itemsNeeded estimates how many items in all would decide, with a chance of
// 80%, if the difference and the variation between items stay as they were
// seen: (z + z_power)^2 variance / distance^2, the distance being that from the
// difference to the margin. Where no item differs the variance says nothing and
// the number is what Tango's interval needs with still no difference. 0 means
// that no number is in sight: the difference lies on the margin.
func itemsNeeded(p pairs, v dlm.Verdict, e estimate) int {
	distance := math.Abs(v.Difference + v.Margin)
	n := float64(v.N)
	variance := p.variance() * e.effect
	need := math.Inf(1)
	if distance > 0 {
		zs := e.z + distuv.UnitNormal.Quantile(power)
		need = zs * zs * variance / (distance * distance)
	}
	if variance == 0 && v.Margin > 0 && v.Difference == 0 {
		need = e.effect * e.z * e.z * (1 - v.Margin) / v.Margin
	}
	// What the interval itself asks of the same proportions with more items.
	need = math.Max(need, n*1.05)
	if need > mostItems {
		return 0
	}
	return int(math.Ceil(need))
}

// variance returns the variance of one item's difference. For a ratio metric
// that of its linearised part (Taylor expansion of the ratio).
func (p pairs) variance() float64 {
	n := float64(len(p.items))
	d := p.differences()
	if p.ratio {
		d = p.linearised()
	}
	var mean, ss float64
	for _, x := range d {
		mean += x / n
	}
	for _, x := range d {
		ss += (x - mean) * (x - mean)
	}
	return ss / n
}

// linearised returns each item's influence on the difference of two ratios.
func (p pairs) linearised() []float64 {
	n := float64(len(p.items))
	out := make([]float64, len(p.items))
	for side, scores := range [][]dlm.Score{p.candidate, p.baseline} {
		sign := float64(1 - 2*side)
		var num, den float64
		for _, s := range scores {
			num += s.Num
			den += s.Den
		}
		if den == 0 {
			continue
		}
		for i, s := range scores {
			out[i] += sign * (s.Num - num/den*s.Den) * n / den
		}
	}
	return out
}

// reason puts the verdict in plain words.
func reason(p pairs, v dlm.Verdict) string {
	cand, base := p.value(p.candidate), p.value(p.baseline)
	items := fmt.Sprintf("%d items", v.N)
	if p.groups.Shared() {
		items += fmt.Sprintf(" (%d clusters)", len(p.groups.Groups))
	}
	text := fmt.Sprintf("%s has %s %.1f%%, %s has %.1f%% on the same %s: difference %s, %.0f%% interval %s to %s",
		v.Candidate, v.Metric, 100*cand, v.Baseline, 100*base, items,
		points(v.Difference), 100*v.Level, points(v.Low), points(v.High))
	margin := fmt.Sprintf("%.1f points", 100*v.Margin)
	switch v.Outcome {
	case dlm.Pass:
		return text + fmt.Sprintf("; even the lower end is no worse than the %s of drop allowed", margin)
	case dlm.Fail:
		return text + fmt.Sprintf("; even the upper end is a larger drop than the %s allowed", margin)
	}
	text += fmt.Sprintf("; a drop of %s, the most allowed, lies inside, so these items cannot decide", margin)
	if v.ItemsNeeded == 0 {
		return text + "; the difference lies so near to it that no practical number of items would"
	}
	return text + fmt.Sprintf("; about %d more items would, %d in all, if the difference stays as it is", v.ItemsNeeded-v.N, v.ItemsNeeded)
}

// value is one side's metric.
func (p pairs) value(scores []dlm.Score) float64 {
	var num, den float64
	for _, s := range scores {
		if p.ratio {
			num, den = num+s.Num, den+s.Den
		} else {
			num, den = num+s.Value, den+1
		}
	}
	return quotient(num, den)
}

// points writes a difference in percentage points with its sign.
func points(d float64) string {
	if math.Abs(d) < 0.0005 {
		d = 0
	}
	return fmt.Sprintf("%+.1f", 100*d)
}
