package native

import "dlm"

// Stats says what the engine is doing. See dlm.StatsReporter.
func (n *Native) Stats() dlm.EngineStats {
	var s dlm.EngineStats
	n.mu.Lock()
	if n.engine != nil {
		s = n.engineStats()
	}
	n.mu.Unlock()
	h := n.shelf
	h.mu.Lock()
	defer h.mu.Unlock()
	s.AdapterLoads, s.AdapterDrops = h.loads, h.drops
	s.AdapterBytes, _ = h.weigh()
	return s
}

// engineStats reads the engine's counters. Callers hold n.mu.
func (n *Native) engineStats() dlm.EngineStats {
	s := n.engine.Stats()
	return dlm.EngineStats{
		Running: s.Running, Waiting: s.Waiting, CacheBlocks: s.CacheBlocks, CacheUsed: s.CacheUsed, CacheKept: s.CacheKept,
		Steps: s.Steps, Prompt: s.Prompt, Cached: s.Cached, Computed: s.Computed, Generated: s.Generated,
		Drafted: s.Drafted, Accepted: s.Accepted, Preempted: s.Preempted,
	}
}
