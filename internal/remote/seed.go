package remote

import "dlm"

// Seed mixes a request's sequence into its seed, for servers that have no word
// for sequences.
func Seed(s dlm.Sampling) uint64 {
	const odd = 0x9E3779B97F4A7C15 // 2^64 / golden ratio: neighbours end up far apart
	return s.Seed + s.Sequence*odd
}
