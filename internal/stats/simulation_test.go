package stats

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// clustered draws items in clusters of the given size. With the chance share a
// cluster's items are all alike, else they are independent.
func clustered(rng *rand.Rand, clusters, size int, share float64, draw func() float64) (values []float64, names []string) {
	for c := range clusters {
		together := rng.Float64() < share
		v := draw()
		for i := range size {
			if i > 0 && !together {
				v = draw()
			}
			values = append(values, v)
			names = append(names, fmt.Sprint(c))
		}
	}
	return values, names
}

// TestClusterWilsonCoverage holds the clustered interval to its level where the
// plain one misses it by far.
func TestClusterWilsonCoverage(t *testing.T) {
	const trials, p = 2000, 0.7
	rng := rand.New(rand.NewPCG(11, 0))
	naive, aware := 0, 0
	for range trials {
		v, names := clustered(rng, 40, 5, 0.7, func() float64 {
			if rng.Float64() < p {
				return 1
			}
			return 0
		})
		g := Group(names)
		mean, n := 0.0, float64(len(v))
		for _, x := range v {
			mean += x / n
		}
		if iv := Wilson(mean, n, Critical(0.95, 0)); iv.Low <= p && p <= iv.High {
			naive++
		}
		if iv := Wilson(mean, n/DesignEffect(v, g), Critical(0.95, len(g.Groups))); iv.Low <= p && p <= iv.High {
			aware++
		}
	}
	t.Logf("coverage of 95%%: plain %.3f, clustered %.3f", float64(naive)/trials, float64(aware)/trials)
	if c := float64(aware) / trials; c < 0.935 || c > 0.985 {
		t.Errorf("clustered interval covers %.3f, want about 0.95", c)
	}
	if c := float64(naive) / trials; c > 0.85 {
		t.Errorf("plain interval covers %.3f: the simulation has no clustering and tests nothing", c)
	}
}

// TestBootstrapCoverage checks BCa on skewed graded scores, alone and in clusters.
func TestBootstrapCoverage(t *testing.T) {
	const trials, mean = 400, 1.0 / 3
	for _, share := range []float64{0, 0.8} {
		rng := rand.New(rand.NewPCG(5, uint64(share*10)))
		hit := 0
		for trial := range trials {
			v, names := clustered(rng, 60, 3, share, func() float64 { // density 2(1-x), skewed
				return min(rng.Float64(), rng.Float64())
			})
			g := Group(names)
			iv, _ := Bootstrap(len(g.Groups), func(drawn []int32) float64 {
				var sum, n float64
				for c, members := range g.Groups {
					for _, i := range members {
						sum += float64(drawn[c]) * v[i]
						n += float64(drawn[c])
					}
				}
				return sum / n
			}, 0.95, 1000, uint64(trial))
			if iv.Low <= mean && mean <= iv.High {
				hit++
			}
		}
		got := float64(hit) / trials
		t.Logf("share %.1f: coverage of 95%%: %.3f", share, got)
		if got < 0.91 || got > 0.985 { // 4 standard errors of 0.95 are 0.044
			t.Errorf("share %.1f: BCa covers %.3f, want about 0.95", share, got)
		}
	}
}

func TestBootstrapIsDeterministicAndHonest(t *testing.T) {
	v := []float64{0.1, 0.9, 0.4, 0.4, 0.7, 0.2, 1}
	a, _ := Bootstrap(len(v), meanOf(v), 0.95, 2000, 9)
	b, _ := Bootstrap(len(v), meanOf(v), 0.95, 2000, 9)
	c, _ := Bootstrap(len(v), meanOf(v), 0.95, 2000, 10)
	if a != b {
		t.Errorf("same seed: %v and %v", a, b)
	}
	if a == c {
		t.Error("another seed gives the same interval to the last bit: the seed is not used")
	}
	flat := []float64{0.5, 0.5, 0.5}
	if iv, spread := Bootstrap(len(flat), meanOf(flat), 0.95, 100, 1); spread {
		t.Errorf("no spread, yet an interval: %v", iv)
	}
	if _, spread := Bootstrap(1, meanOf([]float64{0.5}), 0.95, 100, 1); spread {
		t.Error("one unit has no spread")
	}
}

func TestDesignEffect(t *testing.T) {
	names := func(n, size int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprint(i/size))
		}
		return out
	}
	alike := make([]float64, 100)
	for i := range alike {
		alike[i] = float64((i / 5) % 2)
	}
	// Items of a cluster are all alike: k/(k-1) aside the effect is the cluster's size.
	near(t, "alike", DesignEffect(alike, Group(names(100, 5))), 5, 0.01)
	if e := DesignEffect(alike, Group(make([]string, 100))); e != 1 {
		t.Errorf("no clusters: %v, want 1", e)
	}
	spread := make([]float64, 100)
	for i := range spread {
		spread[i] = float64(i % 2)
	}
	if e := DesignEffect(spread, Group(names(100, 10))); e < 1 || e > 2.6 {
		t.Errorf("balanced inside clusters: %v, want near 1 and never below", e)
	}
	near(t, "no spread: a cluster counts as one item", DesignEffect(make([]float64, 100), Group(names(100, 5))), 5, 1e-12)
}
