package route

import "sync"

// budget bounds retries to a share of requests, so that a server that fails is
// not asked several times as often for it. Each request puts share into it, each
// retry takes one out; there is never more than most in it, and most at first.
type budget struct {
	mu          sync.Mutex
	share, most float64
	spent       float64
}

func (b *budget) request() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(0, b.spent-b.share)
}

// retry says whether one more may be made, and takes it.
func (b *budget) retry() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spent+1 > b.most {
		return false
	}
	b.spent++
	return true
}
