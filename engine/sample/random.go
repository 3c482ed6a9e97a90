package sample

// Uniform returns a number in [0, 1) with 53 random bits, a pure function of
// its three counters. Each counter passes through the finaliser of SplitMix64
// (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
// OOPSLA 2014), which is a bijection with full avalanche, so neighbouring seeds,
// sequences and positions give unrelated draws.
func Uniform(seed, sequence, position uint64) float64 {
	h := mix(seed + 0x9e3779b97f4a7c15)
	h = mix(h ^ (sequence + 0xbf58476d1ce4e5b9))
	h = mix(h ^ (position + 0x94d049bb133111eb))
	return float64(h>>11) * 0x1p-53
}

// mix is the finaliser of SplitMix64.
func mix(z uint64) uint64 {
	z ^= z >> 30
	z *= 0xbf58476d1ce4e5b9
	z ^= z >> 27
	z *= 0x94d049bb133111eb
	return z ^ z>>31
}
