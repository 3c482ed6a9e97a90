package stats

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Statistic computes an estimate from how often each unit (an item, or a
// cluster of items) was drawn.
type Statistic func(drawn []int32) float64

// Bootstrap returns the bias-corrected and accelerated interval (BCa; Efron
// 1987, "Better bootstrap confidence intervals") of stat over the given number
// of exchangeable units, and whether it could be had: with fewer than two units,
// or when every resample gives the same value, spread is false and the interval
// is the point estimate alone, which says nothing about uncertainty.
//
// The acceleration comes from leaving out one unit at a time. The same seed
// gives the same interval on every machine.
func Bootstrap(units int, stat Statistic, level float64, resamples int, seed uint64) (iv Interval, spread bool) {
	drawn := make([]int32, units)
	for i := range drawn {
		drawn[i] = 1
	}
	point := stat(drawn)
	if units < 2 {
		return Interval{point, point}, false
	}
	reps := replicate(drawn, stat, resamples, seed)
	if reps[0] == reps[len(reps)-1] {
		return Interval{point, point}, false
	}
	// z0: how far the replicates' median lies from the estimate. Ties count half.
	below, _ := slices.BinarySearch(reps, point)
	upTo := below
	for upTo < len(reps) && reps[upTo] == point {
		upTo++
	}
	frac := (float64(below) + float64(upTo)) / (2 * float64(len(reps)))
	z0 := distuv.UnitNormal.Quantile(min(max(frac, 0.5/float64(len(reps))), 1-0.5/float64(len(reps))))
	a := acceleration(drawn, stat)
	adjusted := func(p float64) float64 {
		z := z0 + distuv.UnitNormal.Quantile(p)
		if 1-a*z <= 0 { // far out in a skewed tail: the end of the replicates
			return math.Max(0, math.Copysign(1, z))
		}
		return distuv.UnitNormal.CDF(z0 + z/(1-a*z))
	}
	tail := (1 - level) / 2
	return Interval{quantile(reps, adjusted(tail)), quantile(reps, adjusted(1-tail))}, true
}

// replicate returns the sorted values of stat over resamples drawn with
// replacement. It leaves drawn all ones again.
func replicate(drawn []int32, stat Statistic, resamples int, seed uint64) []float64 {
	rng := rand.NewPCG(seed, 0x646c6d) // "dlm"
	n := uint64(len(drawn))
	reps := make([]float64, resamples)
	for r := range reps {
		clear(drawn)
		for range drawn {
			hi, _ := bits.Mul64(rng.Uint64(), n) // uniform below n; the bias of 2^-64 n does not matter
			drawn[hi]++
		}
		reps[r] = stat(drawn)
	}
	for i := range drawn {
		drawn[i] = 1
	}
	slices.Sort(reps)
	return reps
}

// acceleration estimates how the standard error changes with the estimate, by
// leaving out each unit in turn.
func acceleration(drawn []int32, stat Statistic) float64 {
	left := make([]float64, len(drawn))
	var mean float64
	for i := range drawn {
		drawn[i] = 0
		left[i] = stat(drawn)
		drawn[i] = 1
		mean += left[i]
	}
	mean /= float64(len(left))
	var s2, s3 float64
	for _, v := range left {
		d := mean - v
		s2 += d * d
		s3 += d * d * d
	}
	if s2 == 0 {
		return 0
	}
	return s3 / (6 * math.Pow(s2, 1.5))
}

// quantile interpolates linearly between the order statistics of sorted.
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	lo := int(math.Floor(at))
	if lo < 0 {
		return sorted[0]
	}
	if lo >= len(sorted)-1 {
		return sorted[len(sorted)-1]
	}
	f := at - float64(lo)
	return sorted[lo]*(1-f) + sorted[lo+1]*f
}
