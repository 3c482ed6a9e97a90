package stats

import "strconv"

// Clusters groups item indices. Items without a cluster name are each their
// own group. Groups stand in order of first appearance.
type Clusters struct {
	Groups [][]int
	Items  int
}

// Group makes Clusters from one cluster name per item.
func Group(names []string) Clusters {
	c := Clusters{Items: len(names)}
	at := make(map[string]int, len(names))
	for i, name := range names {
		key := "c" + name
		if name == "" {
			key = "i" + strconv.Itoa(i)
		}
		g, ok := at[key]
		if !ok {
			g = len(c.Groups)
			at[key] = g
			c.Groups = append(c.Groups, nil)
		}
		c.Groups[g] = append(c.Groups[g], i)
	}
	return c
}

// Shared says whether any two items share a cluster.
func (c Clusters) Shared() bool { return len(c.Groups) < c.Items }

// worst is the design effect when the items of a cluster are all alike, so
// that a cluster tells no more than one item: sum of squared sizes over items.
func (c Clusters) worst() float64 {
	var sum float64
	for _, g := range c.Groups {
		sum += float64(len(g)) * float64(len(g))
	}
	return sum / float64(c.Items)
}

// priorClusters is how many informative clusters' worth of weight the worst
// case gets in DesignEffect.
const priorClusters = 2

// DesignEffect says by how much clustering inflates the variance of the mean
// of values: the cluster-robust variance over the one that independence would
// give (Rao and Scott 1992, "A simple method for the analysis of clustered
// binary data"), never below 1. Divide a number of items by it to get the
// effective one.
//
// Where few clusters differ from the mean the ratio cannot be estimated: a
// handful of errors that happen to stand in different clusters would pass as
// independent. So it is averaged with the worst case (a cluster counts as one
// item), weighted as two more clusters; with no spread at all the worst case
// stands alone. informative counts the clusters that hold a value other than
// usual, the most common one.
func DesignEffect(values []float64, c Clusters) float64 {
	if !c.Shared() || c.Items == 0 {
		return 1
	}
	var mean float64
	for _, v := range values {
		mean += v
	}
	mean /= float64(len(values))
	var iid, robust float64
	for _, g := range c.Groups {
		var r float64
		for _, i := range g {
			d := values[i] - mean
			iid += d * d
			r += d
		}
		robust += r * r
	}
	k := float64(len(c.Groups))
	if iid == 0 || k < 2 {
		return c.worst()
	}
	seen := robust / iid * k / (k - 1) * (float64(c.Items) - 1) / float64(c.Items)
	seen = min(max(seen, 1), max(c.worst(), 1))
	d := informative(values, c)
	return (d*seen + priorClusters*c.worst()) / (d + priorClusters)
}

// informative counts the clusters that hold a value other than the most common.
func informative(values []float64, c Clusters) float64 {
	count := make(map[float64]int)
	for _, v := range values {
		count[v]++
	}
	usual, most := 0.0, -1
	for v, n := range count {
		if n > most || (n == most && v < usual) {
			usual, most = v, n
		}
	}
	var d float64
	for _, g := range c.Groups {
		for _, i := range g {
			if values[i] != usual {
				d++
				break
			}
		}
	}
	return d
}
