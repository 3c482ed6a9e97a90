package train

import (
	"math"
	"sort"
)

// order says which examples each step sees: a pure function of the settings, so
// the data position of a run is its step.
type order struct {
	n       int // examples
	batch   int // examples a step sees; the last step of an epoch may see fewer
	seed    uint64
	shuffle bool

	epoch int   // of perm; -1 at first
	perm  []int // [n] order of that epoch
}

func newOrder(n int, c Config) *order {
	return &order{n: n, batch: c.BatchSize, seed: c.Seed, shuffle: c.Shuffle, epoch: -1}
}

// perEpoch returns the number of steps in an epoch.
func (o *order) perEpoch() int { return (o.n + o.batch - 1) / o.batch }

// total returns the number of steps of a run: maxSteps, or what the epochs need
// (rounded up, as transformers' Trainer does).
func (o *order) total(epochs float64, maxSteps int) int {
	if maxSteps > 0 {
		return maxSteps
	}
	return max(1, int(math.Ceil(float64(epochs*float64(o.perEpoch()))-1e-9)))
}

// step returns the examples of step s (from 0) as indices into the data. The
// slice is valid until the next call.
func (o *order) step(s int) []int {
	epoch, k := s/o.perEpoch(), s%o.perEpoch()
	if epoch != o.epoch {
		o.perm = permutation(o.perm, o.n, o.seed, epoch, o.shuffle)
		o.epoch = epoch
	}
	return o.perm[k*o.batch : min(o.n, (k+1)*o.batch)]
}

// permutation writes the epoch's order of n examples into dst: by a random key
// per example, from a counter-based generator over (seed, epoch, example).
func permutation(dst []int, n int, seed uint64, epoch int, shuffle bool) []int {
	dst = dst[:0]
	for i := range n {
		dst = append(dst, i)
	}
	if !shuffle {
		return dst
	}
	base := mix(mix(seed) ^ uint64(epoch))
	key := make([]uint64, n)
	for i := range key {
		key[i] = mix(base ^ uint64(i))
	}
	sort.SliceStable(dst, func(a, b int) bool { return key[dst[a]] < key[dst[b]] })
	return dst
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Order is the order in which a run sees its examples: which of n each step gets,
// as indices, in batches of so many. It is for who trains the same steps by other
// means. The slice is valid until the next call.
func Order(n, batch int, seed uint64, shuffle bool) func(step int) []int {
	return newOrder(n, Config{BatchSize: batch, Seed: seed, Shuffle: shuffle}).step
}
