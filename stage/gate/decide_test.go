package gate

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"dlm"
)

// arm makes an arm of one metric "m" with the given values; clusters may be nil.
func arm(name string, values []float64, clusters []string) dlm.Arm {
	a := dlm.Arm{Name: name, Metrics: []dlm.Metric{{Name: "m"}}}
	for i, v := range values {
		s := dlm.Sample{ItemID: fmt.Sprintf("i%d", i), Target: "t", Scores: map[string]dlm.Score{"m": {Value: v}}}
		if clusters != nil {
			s.Cluster = clusters[i]
		}
		a.Samples = append(a.Samples, s)
	}
	return a
}

// table makes two arms with the given numbers of pairs: both right, only the
// candidate, only the baseline, neither.
func table(both, fixed, broken, neither int) (cand, base dlm.Arm) {
	var c, b []float64
	add := func(n int, vc, vb float64) {
		for range n {
			c, b = append(c, vc), append(b, vb)
		}
	}
	add(both, 1, 1)
	add(fixed, 1, 0)
	add(broken, 0, 1)
	add(neither, 0, 0)
	return arm("cand", c, nil), arm("base", b, nil)
}

func decide(t *testing.T, c, b dlm.Arm, o Options) dlm.Verdict {
	t.Helper()
	o.Metric = "m"
	v, err := Decide(c, b, o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestOutcomes(t *testing.T) {
	cases := []struct {
		name                         string
		both, fixed, broken, neither int
		margin                       float64
		want                         dlm.Outcome
	}{
		{"much better", 80, 60, 10, 50, 0.02, dlm.Pass},
		{"planted bad", 20, 2, 90, 88, 0.02, dlm.Fail},
		{"equal, few items", 50, 10, 10, 30, 0.02, dlm.Inconclusive},
		{"equal, no difference, many items", 150, 0, 0, 50, 0.02, dlm.Pass},
		{"equal, no difference, too few items", 75, 0, 0, 25, 0.02, dlm.Inconclusive},
		{"a little worse than allowed", 100, 10, 20, 70, 0.02, dlm.Inconclusive},
		{"worse by about the margin, surely not better", 250, 15, 34, 101, 0.05, dlm.Inconclusive},
		{"worse, wide margin", 200, 5, 9, 86, 0.10, dlm.Pass},
		{"zero margin, much better", 80, 60, 10, 50, 0, dlm.Pass},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cand, base := table(c.both, c.fixed, c.broken, c.neither)
			v := decide(t, cand, base, Options{Margin: c.margin})
			if v.Outcome != c.want {
				t.Errorf("%s, want %s: %s", v.Outcome, c.want, v.Reason)
			}
			if len(v.Fixed) != c.fixed || len(v.Broken) != c.broken {
				t.Errorf("%d fixed, %d broken; want %d, %d", len(v.Fixed), len(v.Broken), c.fixed, c.broken)
			}
			if v.Method != "tango" {
				t.Errorf("method %q", v.Method)
			}
			if (v.ItemsNeeded > 0) != (v.Outcome == dlm.Inconclusive) {
				t.Errorf("outcome %s with %d items needed", v.Outcome, v.ItemsNeeded)
			}
			t.Log(v.Reason)
		})
	}
}

// TestItemsNeeded checks the advice by taking it: the same proportions with
// that many items decide.
func TestItemsNeeded(t *testing.T) {
	for _, c := range [][4]int{{50, 10, 10, 30}, {75, 0, 0, 25}, {100, 6, 14, 80}, {60, 11, 7, 22}} {
		cand, base := table(c[0], c[1], c[2], c[3])
		v := decide(t, cand, base, Options{Margin: 0.02})
		if v.Outcome != dlm.Inconclusive {
			t.Fatalf("%v is decided", c)
		}
		if v.ItemsNeeded <= v.N {
			t.Fatalf("%v: %d items needed of %d", c, v.ItemsNeeded, v.N)
		}
		k := int(math.Ceil(float64(v.ItemsNeeded) / float64(v.N)))
		cand, base = table(k*c[0], k*c[1], k*c[2], k*c[3])
		if w := decide(t, cand, base, Options{Margin: 0.02}); w.Outcome == dlm.Inconclusive {
			t.Errorf("%v: still inconclusive with %d items, %d were said to do", c, w.N, v.ItemsNeeded)
		}
	}
	// On the margin no number of items decides.
	cand, base := table(50, 3, 5, 42)
	v := decide(t, cand, base, Options{Margin: 0.02})
	if v.ItemsNeeded != 0 || !strings.Contains(v.Reason, "no practical number") {
		t.Errorf("difference equal to the margin: %d items, %s", v.ItemsNeeded, v.Reason)
	}
}

func TestGraded(t *testing.T) {
	var c, b, same []float64
	for i := range 120 {
		x := float64(i%10) / 10
		b = append(b, x*0.8)
		c = append(c, min(1, x*0.8+0.02*float64(i%5)))
		same = append(same, x*0.8)
	}
	v := decide(t, arm("c", c, nil), arm("b", b, nil), Options{Margin: 0.02})
	if v.Outcome != dlm.Pass || v.Method != "paired bootstrap" {
		t.Errorf("%s by %s: %s", v.Outcome, v.Method, v.Reason)
	}
	if v2 := decide(t, arm("c", c, nil), arm("b", b, nil), Options{Margin: 0.02}); v2.Low != v.Low || v2.High != v.High {
		t.Error("the same gate twice differs")
	}
	// Identical scores: the bootstrap would claim certainty.
	v = decide(t, arm("c", same, nil), arm("b", b, nil), Options{Margin: 0.02})
	if v.High <= v.Low || v.Outcome != dlm.Inconclusive {
		t.Errorf("120 equal graded scores: %s, %v to %v; want a real interval", v.Outcome, v.Low, v.High)
	}
	worse := make([]float64, len(b))
	for i := range b {
		worse[i] = b[i] * 0.7
	}
	if v := decide(t, arm("c", worse, nil), arm("b", b, nil), Options{Margin: 0.02}); v.Outcome != dlm.Fail {
		t.Errorf("planted bad: %s", v.Reason)
	}
}

// ratioArm gives each item a numerator and a denominator.
func ratioArm(name string, num, den []float64) dlm.Arm {
	a := dlm.Arm{Name: name}
	for i := range num {
		sc := dlm.Score{Ratio: true, Num: num[i], Den: den[i], Value: 1}
		if den[i] > 0 {
			sc.Value = num[i] / den[i]
		}
		a.Samples = append(a.Samples, dlm.Sample{ItemID: fmt.Sprint(i), Scores: map[string]dlm.Score{"m": sc}})
	}
	return a
}

func TestRatio(t *testing.T) {
	var nc, nb, d []float64
	for i := range 200 {
		den := float64(2 * (i % 4)) // a quarter of the items has nothing to count
		d = append(d, den)
		nb = append(nb, den/2)
		nc = append(nc, den*float64(2+i%3)/4)
	}
	v := decide(t, ratioArm("c", nc, d), ratioArm("b", nb, d), Options{Margin: 0.02})
	var sum [3]float64
	for i := range d {
		sum[0], sum[1], sum[2] = sum[0]+nc[i], sum[1]+nb[i], sum[2]+d[i]
	}
	if want := (sum[0] - sum[1]) / sum[2]; math.Abs(v.Difference-want) > 1e-12 {
		t.Errorf("difference %v, want %v (ratio of sums, not mean of ratios)", v.Difference, want)
	}
	if v.Outcome != dlm.Pass || v.Method != "paired bootstrap" {
		t.Errorf("%s by %s", v.Outcome, v.Method)
	}
	_, err := Decide(ratioArm("c", make([]float64, 3), make([]float64, 3)), ratioArm("b", nb[:3], d[:3]), Options{Metric: "m", Margin: 0.02})
	if err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("nothing to count: %v", err)
	}
}

// TestClustersWiden: the same scores decide less when they stand in clusters.
func TestClustersWiden(t *testing.T) {
	var c, b []float64
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprint(i/10))
		better, worse := (i/10)%5 == 0, (i/10)%5 == 1 // whole clusters move together
		c = append(c, map[bool]float64{true: 0, false: 1}[worse])
		b = append(b, map[bool]float64{true: 0, false: 1}[better])
	}
	alone := decide(t, arm("c", c, nil), arm("b", b, nil), Options{Margin: 0.10})
	together := decide(t, arm("c", c, names), arm("b", b, names), Options{Margin: 0.10})
	if alone.Outcome != dlm.Pass || together.Outcome != dlm.Inconclusive {
		t.Errorf("independent: %s (%s)\nclustered: %s (%s)", alone.Outcome, alone.Reason, together.Outcome, together.Reason)
	}
	if together.Method != "cluster tango" || !strings.Contains(together.Reason, "20 clusters") {
		t.Errorf("%s: %s", together.Method, together.Reason)
	}
}

func TestRefusals(t *testing.T) {
	cand, base := table(10, 2, 2, 6)
	edit := func(a dlm.Arm, f func(*dlm.Arm)) dlm.Arm {
		b := a
		b.Samples = append([]dlm.Sample(nil), a.Samples...)
		f(&b)
		return b
	}
	ok := Options{Metric: "m", Margin: 0.02}
	cases := []struct {
		name string
		c, b dlm.Arm
		o    Options
		want []string
	}{
		{"no metric", cand, base, Options{Margin: 0.02}, []string{"no metric", "eval.primary"}},
		{"percent for a part", cand, base, Options{Metric: "m", Margin: 2}, []string{"margin 2", "0.02"}},
		{"not a margin", cand, base, Options{Metric: "m", Margin: math.NaN()}, []string{"margin"}},
		{"bad level", cand, base, Options{Metric: "m", Margin: 0.02, Level: 95}, []string{"level", "0.95"}},
		{"absent metric", cand, base, Options{Metric: "record", Margin: 0.02}, []string{`no metric "record"`, "it has m", "evaluate again"}},
		{"no samples", dlm.Arm{Name: "x"}, base, ok, []string{"x has 0 samples"}},
		{"missing items", edit(cand, func(a *dlm.Arm) { a.Samples = a.Samples[2:] }), base, ok, []string{"cand lacks 2", "i0, i1", "same golden set"}},
		{"items too many", cand, edit(base, func(a *dlm.Arm) { a.Samples = a.Samples[:18] }), ok, []string{"base lacks 2"}},
		{"twice", edit(cand, func(a *dlm.Arm) { a.Samples = append(a.Samples, a.Samples[0]) }), base, ok, []string{"i0", "twice"}},
		{"other target", edit(cand, func(a *dlm.Arm) { a.Samples[3].Target = "u" }), base, ok, []string{"i3", "another target"}},
		{"unscored", edit(cand, func(a *dlm.Arm) {
			a.Samples[4].Scores = map[string]dlm.Score{"m": {Unscored: true}}
		}), base, ok, []string{"1 items of arm cand are unscored", "i4", "evaluate again"}},
		{"out of range", edit(cand, func(a *dlm.Arm) { a.Samples[4].Scores = map[string]dlm.Score{"m": {Value: 7}} }), base, ok, []string{"0 to 1", "i4"}},
		{"not a number", edit(cand, func(a *dlm.Arm) { a.Samples[4].Scores = map[string]dlm.Score{"m": {Value: math.NaN()}} }), base, ok, []string{"0 to 1"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v, err := Decide(c.c, c.b, c.o)
			if err == nil {
				t.Fatalf("no error; verdict %s", v.Outcome)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q lacks %q", err, w)
				}
			}
			if v.Outcome == dlm.Pass {
				t.Error("an error with a pass")
			}
		})
	}
}

func TestReports(t *testing.T) {
	cand, base := table(80, 60, 10, 50)
	one := dlm.Digest("sha256:" + strings.Repeat("1", 64))
	two := dlm.Digest("sha256:" + strings.Repeat("2", 64))
	rc := dlm.Report{Golden: one, Primary: "m", Arms: []dlm.Arm{cand}}
	rb := dlm.Report{Golden: one, Primary: "m", Arms: []dlm.Arm{base}}
	if v, err := DecideReports(Side{rc, "cand"}, Side{rb, "base"}, Options{Margin: 0.02}); err != nil || v.Outcome != dlm.Pass || v.Metric != "m" {
		t.Errorf("%v, %v", v.Outcome, err)
	}
	rb.Golden = two
	if _, err := DecideReports(Side{rc, "cand"}, Side{rb, "base"}, Options{Margin: 0.02}); err == nil || !strings.Contains(err.Error(), "same version") {
		t.Errorf("other golden set: %v", err)
	}
	if _, err := DecideReports(Side{rc, "nobody"}, Side{rc, "cand"}, Options{}); err == nil || !strings.Contains(err.Error(), `["cand"]`) {
		t.Errorf("unknown arm: %v", err)
	}
	r := dlm.Report{Arms: []dlm.Arm{
		{Name: "a", Metrics: []dlm.Metric{{Name: "m", Value: 0.3, N: 5}}},
		{Name: "b", Metrics: []dlm.Metric{{Name: "m", Value: 0.5, N: 5}}},
		{Name: "c", Metrics: []dlm.Metric{{Name: "m", Value: 0.5, N: 5}}},
		{Name: "tuned", Adapter: one, Metrics: []dlm.Metric{{Name: "m", Value: 0.9, N: 5}}},
		{Name: "unjudged", Metrics: []dlm.Metric{{Name: "m", Value: 1, N: 0}}},
	}}
	if a, err := BestBaseline(r, "m"); err != nil || a.Name != "b" {
		t.Errorf("best baseline %q, %v; want b: the first of equals, no adapter", a.Name, err)
	}
	if _, err := BestBaseline(r, "x"); err == nil {
		t.Error("no arm has the metric, yet no error")
	}
}

func TestExit(t *testing.T) {
	for _, c := range []struct {
		outcome dlm.Outcome
		policy  Policy
		code    int
		warn    bool
	}{
		{dlm.Pass, Block, 0, false}, {dlm.Fail, PassIt, 3, false}, {dlm.Fail, Warn, 3, false},
		{dlm.Inconclusive, Block, 4, false}, {dlm.Inconclusive, Warn, 0, true},
		{dlm.Inconclusive, PassIt, 0, false}, {dlm.Inconclusive, "", 4, false}, {"", PassIt, 3, false},
	} {
		if code, warn := Exit(dlm.Verdict{Outcome: c.outcome}, c.policy); code != c.code || warn != c.warn {
			t.Errorf("%q with %q: %d, %v; want %d, %v", c.outcome, c.policy, code, warn, c.code, c.warn)
		}
	}
	if _, err := ParsePolicy("ignore"); err == nil {
		t.Error("unknown policy accepted")
	}
	if p, err := ParsePolicy(""); err != nil || p != Block {
		t.Errorf("default policy %q, %v", p, err)
	}
}
