package kernel

import (
	"math"
	"testing"
)

// ulps is the distance of got from want in units in want's last place.
func ulps(got, want float64) float64 {
	if got == want || got != got && want != want {
		return 0
	}
	return math.Abs(got-want) / (math.Nextafter(math.Abs(want), math.Inf(1)) - math.Abs(want))
}

func TestScalarsAgainstMath(t *testing.T) {
	bits := testBits(5)
	worst := map[string]float64{}
	check := func(what string, got, want float64) {
		worst[what] = max(worst[what], ulps(got, want))
	}
	for range 200000 {
		u := float64(bits.next()>>11) * 0x1p-53
		check("exp", Exp64(u*1400-700), math.Exp(u*1400-700))
		check("exp near 0", Exp64(u-0.5), math.Exp(u-0.5))
		x := math.Ldexp(0.5+u/2, int(bits.next()%2000)-1000)
		check("log", Log64(x), math.Log(x))
		check("log near 1", Log64(1+u/64), math.Log(1+u/64))
		angle := float64(float32(u*0x1p17)) * math.Ldexp(1, -int(bits.next()%24))
		s, c := SinCos64(angle)
		check("sin", s, math.Sin(angle))
		check("cos", c, math.Cos(angle))
		check("pow", Pow64(1e4+u*1e6, u)/8, math.Pow(1e4+u*1e6, u)/8)
	}
	for what, most := range map[string]float64{"exp": 4, "exp near 0": 4, "log": 4, "log near 1": 4, "sin": 4, "cos": 4, "pow": 20} {
		t.Logf("%s: at most %.2f ulp from math's", what, worst[what])
		if worst[what] > most {
			t.Errorf("%s: %.2f ulp from math's, want at most %v", what, worst[what], most)
		}
	}
	inf := math.Inf(1)
	for _, c := range [][2]float64{{Exp64(-inf), 0}, {Exp64(inf), inf}, {Exp64(0), 1}, {Exp64(math.NaN()), math.NaN()}, {Log64(0), -inf}, {Log64(1), 0},
		{Log64(inf), inf}, {Log64(-1), math.NaN()}, {Pow64(3, 0), 1}, {Exp64(-745.3), 0}, {Exp64(710), inf}} {
		if ulps(c[0], c[1]) != 0 {
			t.Errorf("%v, want %v", c[0], c[1])
		}
	}
	if s, c := SinCos64(0); s != 0 || c != 1 {
		t.Errorf("sin 0 = %v, cos 0 = %v", s, c)
	}
}
