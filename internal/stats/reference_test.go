package stats

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// reference holds testdata/reference.json, made by testdata/reference.py.
type reference struct {
	Tango []struct {
		B, C, N, Level, Low, High float64
	}
	Wilson []struct {
		K, N, Level, Low, High float64
	}
	McNemar []struct {
		B, C int
		P    float64
	}
	Critical []struct {
		Level, Value float64
		Clusters     int
	}
	Bootstrap []struct {
		Name          string
		Values        []float64
		Low, High, SE float64
	}
	Variance struct {
		Values        []float64
		Low, High, SE float64
	}
}

func readReference(t *testing.T) reference {
	t.Helper()
	raw, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var r reference
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Tango) < 10 || len(r.Wilson) < 5 || len(r.McNemar) < 5 || len(r.Critical) < 5 || len(r.Bootstrap) < 3 {
		t.Fatal("testdata/reference.json lacks cases; make it again with testdata/reference.py")
	}
	return r
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: got %.10f, want %.10f (tolerance %g)", what, got, want, tolerance)
	}
}

func TestAgainstSciPy(t *testing.T) {
	r := readReference(t)
	for _, c := range r.Wilson {
		iv := Wilson(c.K/c.N, c.N, Critical(c.Level, 0))
		near(t, "wilson low", iv.Low, c.Low, 1e-12)
		near(t, "wilson high", iv.High, c.High, 1e-12)
	}
	for _, c := range r.McNemar {
		near(t, "mcnemar", McNemar(c.B, c.C), c.P, 1e-12)
	}
	for _, c := range r.Critical {
		near(t, "critical", Critical(c.Level, c.Clusters), c.Value, 1e-8*c.Value)
	}
	for _, c := range r.Tango { // the reference maximises the likelihood numerically
		iv := Tango(c.B, c.C, c.N, Critical(c.Level, 0))
		near(t, "tango low", iv.Low, c.Low, 1e-7)
		near(t, "tango high", iv.High, c.High, 1e-7)
	}
	for _, c := range r.Bootstrap {
		iv, spread := Bootstrap(len(c.Values), meanOf(c.Values), 0.95, 40000, 3)
		if !spread {
			t.Fatalf("%s: no spread", c.Name)
		}
		// Both ends carry Monte Carlo error; a twentieth of a standard error is 5 sigma here.
		near(t, c.Name+" low", iv.Low, c.Low, 0.05*c.SE)
		near(t, c.Name+" high", iv.High, c.High, 0.05*c.SE)
	}
}

// TestBiasCorrection uses a statistic whose resamples are biased.
func TestBiasCorrection(t *testing.T) {
	c := readReference(t).Variance
	if len(c.Values) == 0 {
		t.Fatal("no case")
	}
	iv, _ := Bootstrap(len(c.Values), func(drawn []int32) float64 {
		mean := meanOf(c.Values)(drawn)
		var ss, n float64
		for i, w := range drawn {
			ss += float64(w) * (c.Values[i] - mean) * (c.Values[i] - mean)
			n += float64(w)
		}
		return ss / n
	}, 0.90, 40000, 3)
	near(t, "low", iv.Low, c.Low, 0.05*c.SE)
	near(t, "high", iv.High, c.High, 0.05*c.SE)
}

func meanOf(values []float64) Statistic {
	return func(drawn []int32) float64 {
		var sum, n float64
		for i, w := range drawn {
			sum += float64(w) * values[i]
			n += float64(w)
		}
		return sum / n
	}
}

// TestTangoPublished checks values that others have printed.
func TestTangoPublished(t *testing.T) {
	// Tango 1998, section 6.1: soft contact lenses, 43 both effective, one only
	// under the standard; margin 0.1: Z = 1.709, lower 90% limit -0.096.
	near(t, "Z", TangoStatistic(0, 1, 44, -0.1), 1.709, 0.0005)
	near(t, "lens low", Tango(0, 1, 44, 1.645).Low, -0.096, 0.0005)
	// Fagerland, Lydersen and Laake 2014, airway hyper-responsiveness (1, 1, 7,
	// 12): -0.517 to -0.026.
	iv := Tango(1, 7, 21, Critical(0.95, 0))
	near(t, "airway low", iv.Low, -0.517, 0.0005)
	near(t, "airway high", iv.High, -0.026, 0.0005)
	// R, PropCIs::scoreci.mp(25, 28, 618, 0.90): -0.0148 to 0.0247 (c minus b).
	iv = Tango(28, 25, 618, Critical(0.90, 0))
	near(t, "propcis low", iv.Low, -0.0148, 0.00005)
	near(t, "propcis high", iv.High, 0.0247, 0.00005)
}

func TestTangoEdges(t *testing.T) {
	z := Critical(0.95, 0)
	for _, n := range []float64{1, 2, 10, 300, 1e6} {
		// b = c = 0: q is 0 for delta > 0, so n delta = z sqrt(delta (1-delta) n),
		// delta = z^2 / (n + z^2).
		iv := Tango(0, 0, n, z)
		near(t, "none discordant, high", iv.High, z*z/(n+z*z), 1e-12)
		near(t, "none discordant, low", iv.Low, -z*z/(n+z*z), 1e-12)
	}
	for n := 1.0; n <= 12; n++ {
		for b := 0.0; b <= n; b++ {
			for c := 0.0; b+c <= n; c++ {
				iv, mirror := Tango(b, c, n, z), Tango(c, b, n, z)
				d := (b - c) / n
				if !(iv.Low >= -1 && iv.Low <= d && d <= iv.High && iv.High <= 1) {
					t.Fatalf("b=%v c=%v n=%v: %v does not hold %v inside [-1, 1]", b, c, n, iv, d)
				}
				near(t, "mirror", iv.Low, -mirror.High, 1e-12)
				if iv.Low > -1+1e-9 && iv.Low < d {
					near(t, "low solves the score equation", TangoStatistic(b, c, n, iv.Low), z, 1e-6)
				}
			}
		}
	}
	if iv := Tango(10, 0, 10, z); iv.High != 1 {
		t.Errorf("all fixed: high %v, want 1", iv.High)
	}
	near(t, "at zero it is McNemar's", TangoStatistic(30, 12, 200, 0), (30.0-12)/math.Sqrt(42), 1e-12)
}

func TestWilsonEdges(t *testing.T) {
	if iv := Wilson(0.5, 0, 1.96); iv != (Interval{0, 1}) {
		t.Errorf("nothing seen: %v", iv)
	}
	if iv := Wilson(0, 20, 1.96); iv.Low != 0 || iv.High <= 0 {
		t.Errorf("none right: %v", iv)
	}
	if iv := Wilson(1, 20, 1.96); iv.High != 1 || iv.Low >= 1 {
		t.Errorf("all right: %v", iv)
	}
}
