package stats

import "math"

// Tango returns the score interval of the difference of two paired proportions
// (Tango 1998, "Equivalence test and confidence interval for the difference in
// proportions for the paired-sample design", Statistics in Medicine 17:891-908,
// equations 24 to 26). Of n pairs, b are right under the first system only and
// c under the second only; the difference is (b-c)/n. The limits are where the
// score statistic equals +z and -z.
//
// Unlike Wald's interval it stays inside [-1, 1] and does not collapse to a
// point where b and c are both 0. Counts need not be whole: with clusters they
// are divided by the design effect.
func Tango(b, c, n, z float64) Interval {
	d := (b - c) / n
	return Interval{
		Low:  bisect(-1, d, func(x float64) bool { return TangoStatistic(b, c, n, x) > z }),
		High: bisect(d, 1, func(x float64) bool { return TangoStatistic(b, c, n, x) > -z }),
	}
}

// bisect returns the border between lo, where above holds, and hi, where it
// does not, to the last bit.
func bisect(lo, hi float64, above func(float64) bool) float64 {
	for range 200 {
		mid := lo + (hi-lo)/2
		if mid <= lo || mid >= hi {
			break
		}
		if above(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo + (hi-lo)/2
}

// TangoStatistic returns the score statistic of the hypothesis that the first
// system's proportion is the second's plus delta, for delta inside (-1, 1); it
// falls as delta grows. At delta = 0 it is McNemar's (b-c)/sqrt(b+c).
func TangoStatistic(b, c, n, delta float64) float64 {
	num := b - c - n*delta
	if num == 0 {
		return 0
	}
	// q is the maximum-likelihood estimate of the "second only" probability
	// under the hypothesis: the larger root of A q^2 + B q + C = 0.
	A := 2 * n
	B := -b - c + (2*n-b+c)*delta
	C := -c * delta * (1 - delta)
	root := math.Sqrt(math.Max(0, B*B-4*A*C))
	q := (root - B) / (2 * A)
	variance := n * (2*q + delta*(1-delta))
	if variance <= 0 {
		return math.Copysign(math.Inf(1), num)
	}
	return num / math.Sqrt(variance)
}
