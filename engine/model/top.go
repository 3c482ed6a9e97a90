package model

import "math"

// Alternative is a token that could stand at a place, with its natural log-probability.
type Alternative struct {
	ID      int32
	LogProb float32
}

// LogProbsTop is LogProbs that also fills tops[i], where it is not empty, with the
// likeliest tokens at target i's place: likeliest first, the lowest id first among
// equals. The logits are there a chunk of rows at a time, as in LogProbs.
func (p *Pass) LogProbsTop(dst []float32, targets []Target, tops [][]Alternative) {
	p.eachChunk(targets, func(chunk []Target, at int) {
		p.chunkLogProbs(dst[at:], chunk, tops[at:at+len(chunk)])
	})
}

// LogSoftmaxTop is LogSoftmaxAt that also fills top as LogProbsTop does.
func (m *Model) LogSoftmaxTop(logits []float32, id int32, top []Alternative) float32 {
	lse := m.logSumExp(logits)
	m.fillTop(top, logits, lse)
	return float32(float64(logits[id]) - lse)
}

// topChunk is the number of logits whose largest is found at once, to pass over
// those among which none is likely enough.
const topChunk = 256

// fillTop puts the likeliest tokens into top, which is no longer than logits.
func (m *Model) fillTop(top []Alternative, logits []float32, lse float64) {
	if len(top) == 0 {
		return
	}
	// Until the end top holds logits in the place of log-probabilities.
	least, n := float32(math.Inf(-1)), 0
	for lo := 0; lo < len(logits); lo += topChunk {
		chunk := logits[lo:min(len(logits), lo+topChunk)]
		if n == len(top) && m.x.MaxRow(chunk) <= least {
			continue
		}
		for i, l := range chunk {
			if n == len(top) && !(l > least) {
				continue
			}
			if n < len(top) {
				n++
			}
			at := n - 1
			for ; at > 0 && top[at-1].LogProb < l; at-- {
				top[at] = top[at-1]
			}
			top[at] = Alternative{int32(lo + i), l}
			least = top[n-1].LogProb
		}
	}
	for i := range top[:n] {
		top[i].LogProb = float32(float64(top[i].LogProb) - lse)
	}
}
