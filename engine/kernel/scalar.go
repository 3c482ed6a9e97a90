package kernel

import "math"

// The functions of this file stand in for math's, which do not give the same
// bits on every architecture: some are assembly on one and Go on another, and on
// arm64 the compiler fuses their multiplies and additions. Here every product is
// rounded by a conversion, which forbids fusing. Errors are some three units in
// the last place unless said.

// ln 2 in two parts: an exponent times the first (32 bits) is exact.
const (
	ln2Hi   = 0x1.62e42feep-1
	ln2Lo   = math.Ln2 - ln2Hi
	invLn2  = 1 / math.Ln2
	invHalf = 2 / math.Pi
)

// π/2 in three parts, of which the first two have 33 bits: a count of quarter
// turns up to 2^20 times them is exact.
const (
	halfPi0 = 0x1.921fb544p+0
	halfPi1 = 0x1.0b4611a6p-34
	halfPi2 = math.Pi/2 - halfPi0 - halfPi1
)

// horner is c[0] + x c[1] + x² c[2] + ...
func horner(x float64, c []float64) float64 {
	y := 0.0
	for i := len(c) - 1; i >= 0; i-- {
		y = float64(y*x) + c[i]
	}
	return y
}

// Taylor coefficients: 1/n! for exp, of x² for sin and cos, and 1/(2n+1) of s²
// for log.
var expSeries, sinSeries, cosSeries, logSeries = series()

func series() (exp, sin, cos, log []float64) {
	factorial, sign := 1.0, 1.0
	for n := range 20 {
		if n > 0 {
			factorial *= float64(n)
		}
		if n < 14 {
			exp = append(exp, 1/factorial)
		}
		if n%2 == 0 {
			cos = append(cos, sign/factorial)
		} else {
			sin = append(sin, sign/factorial)
			sign = -sign
		}
		if n < 12 {
			log = append(log, 1/float64(2*n+1))
		}
	}
	return exp, sin, cos, log
}

// Exp64 is e to the power x.
func Exp64(x float64) float64 {
	switch {
	case x != x || x > 709.78:
		return x + math.Inf(1) // NaN stays
	case x < -745.2:
		return 0
	}
	n := math.RoundToEven(x * invLn2)
	r := x - float64(n*ln2Hi) - float64(n*ln2Lo)
	return math.Ldexp(horner(r, expSeries), int(n))
}

// Log64 is the natural logarithm of x: with x = 2^e m, m near 1, and s =
// (m-1)/(m+1), it is e ln 2 + 2 artanh s.
func Log64(x float64) float64 {
	switch {
	case x != x || x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	case math.IsInf(x, 1):
		return x
	}
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	s := (m - 1) / (m + 1)
	n := float64(e)
	return float64(n*ln2Hi) + (float64(2*s*horner(float64(s*s), logSeries)) + float64(n*ln2Lo))
}

// Pow64 is x to the power y, for x > 0. Its relative error grows with the
// logarithm of the result: about 1e-15 where that is below 15.
func Pow64(x, y float64) float64 { return Exp64(y * Log64(x)) }

// SinCos64 returns the sine and cosine of x, |x| at most 2^20. (Payne and
// Hanek's reduction, which larger arguments need, is left out: positions end far
// below.)
func SinCos64(x float64) (sin, cos float64) {
	n := math.RoundToEven(x * invHalf)
	r := x - float64(n*halfPi0) - float64(n*halfPi1) - float64(n*halfPi2)
	r2 := float64(r * r)
	sin, cos = float64(r*horner(r2, sinSeries)), horner(r2, cosSeries)
	switch int64(n) & 3 {
	case 1:
		return cos, -sin
	case 2:
		return -sin, -cos
	case 3:
		return -cos, sin
	}
	return sin, cos
}
