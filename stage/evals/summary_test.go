package evals

import (
	"fmt"
	"math"
	"testing"

	"dlm"
	"dlm/internal/stats"
)

func samplesOf(scores []dlm.Score, cluster func(int) string) []dlm.Sample {
	var out []dlm.Sample
	for i, sc := range scores {
		s := dlm.Sample{ItemID: fmt.Sprint(i), Scores: map[string]dlm.Score{"m": sc}}
		if cluster != nil {
			s.Cluster = cluster(i)
		}
		out = append(out, s)
	}
	return out
}

func TestAggregate(t *testing.T) {
	var binary, graded, ratio []dlm.Score
	for i := range 100 {
		binary = append(binary, dlm.Score{Value: float64(i % 2)})
		graded = append(graded, dlm.Score{Value: float64(i%5) / 4})
		ratio = append(ratio, dlm.Score{Ratio: true, Num: float64(i % 3), Den: float64(i%3 + i%2)})
	}
	fives := func(i int) string { return fmt.Sprint(i / 5) }

	m := Aggregate("m", samplesOf(binary, nil), 0.95, 1)
	want := stats.Wilson(0.5, 100, stats.Critical(0.95, 0))
	if m.Method != "wilson" || m.Value != 0.5 || m.Low != want.Low || m.High != want.High || m.N != 100 || m.Level != 0.95 {
		t.Errorf("%+v", m)
	}
	c := Aggregate("m", samplesOf(binary, fives), 0.95, 1)
	if c.Method != "cluster wilson" || c.High-c.Low <= m.High-m.Low {
		t.Errorf("clustered %+v is not wider than %+v", c, m)
	}
	if m := Aggregate("m", samplesOf(graded, nil), 0.95, 1); m.Method != "bootstrap" || m.Value != 0.5 || m.High-m.Low < 0.08 || m.High-m.Low > 0.2 {
		t.Errorf("%+v", m) // 2 x 1.96 x 0.354 / 10 = 0.139
	}
	if m := Aggregate("m", samplesOf(graded, fives), 0.95, 1); m.Method != "wilson" && m.Method != "cluster bootstrap" && m.Method != "cluster wilson" {
		t.Errorf("%+v", m)
	}
	num, den := 0.0, 0.0
	for _, s := range ratio {
		num, den = num+s.Num, den+s.Den
	}
	if m := Aggregate("m", samplesOf(ratio, nil), 0.95, 1); math.Abs(m.Value-num/den) > 1e-12 || m.Method != "bootstrap" {
		t.Errorf("%+v, want the ratio of sums %v", m, num/den)
	}
	// All right, graded: the bootstrap would say 100 to 100.
	perfect := make([]dlm.Score, 50)
	for i := range perfect {
		perfect[i] = dlm.Score{Value: 1, Ratio: true, Num: 2, Den: 2}
	}
	if m := Aggregate("m", samplesOf(perfect, nil), 0.95, 1); m.Value != 1 || m.Low > 0.95 || m.Low < 0.9 || m.Method != "wilson" {
		t.Errorf("%+v", m)
	}
	some := append([]dlm.Score{{Unscored: true}, {Unscored: true}}, binary...)
	if m := Aggregate("m", samplesOf(some, nil), 0.95, 1); m.N != 100 || m.Unscored != 2 || m.Value != 0.5 {
		t.Errorf("%+v", m)
	}
	if m := Aggregate("other", samplesOf(binary, nil), 0.95, 1); m.N != 0 || m.Unscored != 100 || m.Method != "none" || m.High != 1 {
		t.Errorf("%+v", m)
	}
}

func TestTagTable(t *testing.T) {
	arm := dlm.Arm{Samples: samplesOf([]dlm.Score{{Value: 1}, {Value: 0}, {Value: 1}}, nil)}
	arm.Samples[0].Tags = []string{"b", "a", "b"} // twice counts once
	arm.Samples[1].Tags = []string{"b"}
	Summarise(&arm, []string{"m"}, 0.95, 1)
	if len(arm.Tags) != 2 || arm.Tags[0].Tag != "a" || arm.Tags[0].Metric.N != 1 || arm.Tags[1].Metric.N != 2 || arm.Tags[1].Metric.Value != 0.5 {
		t.Errorf("%+v", arm.Tags)
	}
	Summarise(&arm, []string{"m"}, 0.95, 1)
	if len(arm.Metrics) != 1 || len(arm.Tags) != 2 {
		t.Error("summarising twice adds rows")
	}
}
