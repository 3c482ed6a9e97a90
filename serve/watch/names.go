package watch

import "sync"

// MostNames is how many different values a label may have; a gateway that has
// seen more is counted on under "other". Each value is a time series that
// Prometheus keeps.
const MostNames = 1000

// names lets the first of them through.
type names struct {
	mu   sync.Mutex
	seen map[string]bool
}

// label is a name as a label's value.
func (n *names) label(name string) string {
	if name == "" {
		return "unknown"
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen[name] {
		return name
	}
	if len(n.seen) >= MostNames {
		return "other"
	}
	if n.seen == nil {
		n.seen = map[string]bool{}
	}
	n.seen[name] = true
	return name
}
