package stats

import "gonum.org/v1/gonum/stat/distuv"

// McNemar returns the exact two-sided p-value of the hypothesis that b and c
// discordant pairs come from equal chances (binomial, doubled smaller tail). It
// tests against a difference of zero, not against a margin.
func McNemar(b, c int) float64 {
	if b+c == 0 {
		return 1
	}
	return min(1, 2*distuv.Binomial{N: float64(b + c), P: 0.5}.CDF(float64(min(b, c))))
}
