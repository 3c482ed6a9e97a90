package watch

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"dlm"
	"dlm/serve"
)

// Engine is an engine that is asked what it is doing whenever metrics are read.
type Engine struct {
	Name     string
	Stats    dlm.StatsReporter
	Adapters dlm.AdapterHost // nil: it holds none
}

// engineMetric is a number of dlm.EngineStats as a metric.
type engineMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	state string // value of the label state, where the metric has one
	value func(s *dlm.EngineStats) float64
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var engineMetrics = func() []engineMetric {
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	blocks := desc("dlm_cache_blocks", "Blocks of the key-value cache: used by sequences, kept for prefixes that nobody uses now, or free.", "engine", "state")
	count := func(name, help string, f func(s *dlm.EngineStats) uint64) engineMetric {
		return engineMetric{desc(name, help, "engine"), counter, "", func(s *dlm.EngineStats) float64 { return float64(f(s)) }}
	}
	return []engineMetric{
		{desc("dlm_sequences_running", "Sequences in the engine's batch.", "engine"), gauge, "", func(s *dlm.EngineStats) float64 { return float64(s.Running) }},
		{desc("dlm_sequences_waiting", "Sequences that wait for a place in the batch.", "engine"), gauge, "", func(s *dlm.EngineStats) float64 { return float64(s.Waiting) }},
		{blocks, gauge, "used", func(s *dlm.EngineStats) float64 { return float64(s.CacheUsed) }},
		{blocks, gauge, "kept", func(s *dlm.EngineStats) float64 { return float64(s.CacheKept) }},
		{blocks, gauge, "free", func(s *dlm.EngineStats) float64 { return float64(max(s.CacheBlocks-s.CacheUsed-s.CacheKept, 0)) }},
		{desc("dlm_cache_usage_ratio", "Part of the key-value cache that sequences use, 0 to 1.", "engine"), gauge, "", func(s *dlm.EngineStats) float64 { return float64(s.CacheUsed) / float64(max(s.CacheBlocks, 1)) }},
		{desc("dlm_adapter_bytes", "Memory of the adapters that the engine holds.", "engine"), gauge, "", func(s *dlm.EngineStats) float64 { return float64(s.AdapterBytes) }},
		count("dlm_engine_steps_total", "Forward passes.", func(s *dlm.EngineStats) uint64 { return s.Steps }),
		count("dlm_prefix_queries_total", "Tokens of prompts that were looked for in the prefix cache.", func(s *dlm.EngineStats) uint64 { return s.Prompt }),
		count("dlm_prefix_hits_total", "Tokens of prompts that were in the prefix cache.", func(s *dlm.EngineStats) uint64 { return s.Cached }),
		count("dlm_computed_tokens_total", "Positions computed, those of sequences that had to start over too.", func(s *dlm.EngineStats) uint64 { return s.Computed }),
		count("dlm_engine_generated_tokens_total", "Tokens that the engine made.", func(s *dlm.EngineStats) uint64 { return s.Generated }),
		count("dlm_drafted_tokens_total", "Tokens that were guessed ahead.", func(s *dlm.EngineStats) uint64 { return s.Drafted }),
		count("dlm_accepted_tokens_total", "Tokens that were guessed ahead and were right.", func(s *dlm.EngineStats) uint64 { return s.Accepted }),
		count("dlm_preemptions_total", "Sequences that had to start over because the cache was full.", func(s *dlm.EngineStats) uint64 { return s.Preempted }),
		count("dlm_adapter_loads_total", "Adapters brought into memory.", func(s *dlm.EngineStats) uint64 { return s.AdapterLoads }),
		count("dlm_adapter_evictions_total", "Adapters dropped because memory was short.", func(s *dlm.EngineStats) uint64 { return s.AdapterDrops }),
	}
}()

var (
	adaptersDesc = desc("dlm_adapters_loaded", "Adapters in the engine's memory: pinned by an alias, or there until memory is short.", "engine", "state")
	problemsDesc = desc("dlm_problems", "What is amiss while requests are answered, as /readyz lists it.")
	healthyDesc  = desc("dlm_upstream_healthy", "1 when the replica passed its last health check.", "upstream", "replica")
	breakerDesc  = desc("dlm_upstream_breaker", "1 for the state that the replica's circuit breaker is in.", "upstream", "replica", "state")
	inFlightDesc = desc("dlm_upstream_requests_running", "Requests under way at the replica.", "upstream", "replica")
	triesDesc    = desc("dlm_upstream_requests_total", "Tries at the replica, repeated ones too.", "upstream", "replica")
	failuresDesc = desc("dlm_upstream_failures_total", "Tries that failed by the replica's fault.", "upstream", "replica")
	retriesDesc  = desc("dlm_upstream_retries_total", "Tries that repeat one that failed.", "upstream", "replica")
	openedDesc   = desc("dlm_upstream_breaker_opened_total", "Times that the replica's circuit breaker opened.", "upstream", "replica")
	answersDesc  = desc("dlm_adapter_info", "1 for the adapter that answered last under a name and alias; adapter is the beginning of its hash, empty for a base.", "model", "alias", "adapter", "engine")
)

// collector reads engines and upstreams when it is collected.
type collector struct {
	engines  []Engine
	operator serve.Operator // nil: there is none
	answers  *answers
}

// Describe sends what Collect may send.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	var sent []*prometheus.Desc
	for _, m := range engineMetrics {
		if !slices.Contains(sent, m.desc) {
			sent = append(sent, m.desc)
			ch <- m.desc
		}
	}
	for _, d := range []*prometheus.Desc{adaptersDesc, problemsDesc, healthyDesc, breakerDesc, inFlightDesc, triesDesc, failuresDesc, retriesDesc, openedDesc, answersDesc} {
		ch <- d
	}
}

// Collect reads the numbers.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, e := range c.engines {
		c.collectEngine(ch, e)
	}
	c.answers.collect(ch)
	if c.operator == nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(problemsDesc, prometheus.GaugeValue, float64(len(c.operator.Problems())))
	for _, u := range c.operator.Upstreams() {
		send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, kind, v, append([]string{u.Upstream, u.Replica}, labels...)...)
		}
		send(healthyDesc, prometheus.GaugeValue, one(u.Healthy))
		for _, state := range []string{"closed", "half-open", "open"} {
			send(breakerDesc, prometheus.GaugeValue, one(u.Breaker == state), state)
		}
		send(inFlightDesc, prometheus.GaugeValue, float64(u.InFlight))
		send(triesDesc, prometheus.CounterValue, float64(u.Requests))
		send(failuresDesc, prometheus.CounterValue, float64(u.Failures))
		send(retriesDesc, prometheus.CounterValue, float64(u.Retries))
		send(openedDesc, prometheus.CounterValue, float64(u.Opened))
	}
}

func (c *collector) collectEngine(ch chan<- prometheus.Metric, e Engine) {
	if e.Stats != nil {
		s := e.Stats.Stats()
		for _, m := range engineMetrics {
			labels := []string{e.Name}
			if m.state != "" {
				labels = append(labels, m.state)
			}
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&s), labels...)
		}
	}
	if e.Adapters != nil {
		pinned, all := 0, e.Adapters.Adapters()
		for _, a := range all {
			if a.Pinned {
				pinned++
			}
		}
		ch <- prometheus.MustNewConstMetric(adaptersDesc, prometheus.GaugeValue, float64(pinned), e.Name, "pinned")
		ch <- prometheus.MustNewConstMetric(adaptersDesc, prometheus.GaugeValue, float64(len(all)-pinned), e.Name, "unpinned")
	}
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// answers remembers what answered last under each name and alias, so that a
// graph shows when a promotion took effect. Its size is bounded by the names.
type answers struct {
	mu   sync.Mutex
	last map[[2]string][2]string // model, alias -> adapter, engine
}

func (a *answers) saw(model, alias, adapter, engine string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		a.last = map[[2]string][2]string{}
	}
	a.last[[2]string{model, alias}] = [2]string{adapter, engine}
}

func (a *answers) collect(ch chan<- prometheus.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, v := range a.last {
		ch <- prometheus.MustNewConstMetric(answersDesc, prometheus.GaugeValue, 1, k[0], k[1], v[0], v[1])
	}
}
