package stats

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Interval is a two-sided confidence interval.
type Interval struct {
	Low, High float64
}

// Wilson returns the score interval of a proportion p seen in n independent
// trials (Wilson 1927), z standard errors wide. n need not be whole: with
// clusters it is the effective number of trials, n / DesignEffect.
func Wilson(p, n, z float64) Interval {
	if n <= 0 {
		return Interval{0, 1}
	}
	z2 := z * z
	centre := (p + z2/(2*n)) / (1 + z2/n)
	half := z / (1 + z2/n) * math.Sqrt(p*(1-p)/n+z2/(4*n*n))
	iv := Interval{math.Max(0, centre-half), math.Min(1, centre+half)}
	if p <= 0 { // exact there; rounding would leave -1e-17
		iv.Low = 0
	}
	if p >= 1 {
		iv.High = 1
	}
	return iv
}

// Critical returns the number of standard errors of a two-sided interval at
// level: from the normal distribution, or, where the variance is estimated from
// clusters, from Student's t with clusters-1 degrees of freedom. clusters 0
// means independent items.
func Critical(level float64, clusters int) float64 {
	p := 1 - (1-level)/2
	if clusters == 0 {
		return distuv.UnitNormal.Quantile(p)
	}
	df := math.Max(1, float64(clusters-1))
	return distuv.StudentsT{Mu: 0, Sigma: 1, Nu: df}.Quantile(p)
}
