package watch

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of the histograms, seconds. Those of vLLM, with finer ones below: a
// small base on a processor makes a token in a millisecond.
var (
	waitBounds  = []float64{0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80}
	tokenBounds = []float64{0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5}
	wholeBounds = []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 60, 120, 240}
)

// metrics are what is counted as requests go by.
type metrics struct {
	requests   *prometheus.CounterVec   // endpoint, model, alias, tenant, code
	running    *prometheus.GaugeVec     // endpoint
	duration   *prometheus.HistogramVec // endpoint, model, alias
	firstToken *prometheus.HistogramVec // model, alias
	interToken *prometheus.HistogramVec // model, alias
	queue      *prometheus.HistogramVec // model, alias
	prompt     *prometheus.CounterVec   // model, alias, tenant
	cached     *prometheus.CounterVec   // model, alias, tenant
	generated  *prometheus.CounterVec   // model, alias, tenant
	finished   *prometheus.CounterVec   // model, alias, reason
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	histogram := func(name, help string, bounds []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: bounds}, labels)
		reg.MustRegister(h)
		return h
	}
	m := &metrics{
		requests:   counter("dlm_requests_total", "Requests that ended, by endpoint, base or adapter, alias, tenant and HTTP status.", "endpoint", "model", "alias", "tenant", "code"),
		duration:   histogram("dlm_request_duration_seconds", "Time from a request's beginning to the end of its answer.", wholeBounds, "endpoint", "model", "alias"),
		firstToken: histogram("dlm_time_to_first_token_seconds", "Time from a request's beginning to its first token.", waitBounds, "model", "alias"),
		interToken: histogram("dlm_inter_token_latency_seconds", "Time from one token of a completion to the next.", tokenBounds, "model", "alias"),
		queue:      histogram("dlm_queue_seconds", "Time that a request waited for a place in the engine's batch.", waitBounds, "model", "alias"),
		prompt:     counter("dlm_prompt_tokens_total", "Tokens of prompts.", "model", "alias", "tenant"),
		cached:     counter("dlm_cached_tokens_total", "Tokens of prompts whose keys and values were in the cache already.", "model", "alias", "tenant"),
		generated:  counter("dlm_generation_tokens_total", "Tokens of completions.", "model", "alias", "tenant"),
		finished:   counter("dlm_request_success_total", "Completions that ended, by the reason: stop or length.", "model", "alias", "reason"),
	}
	m.running = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dlm_requests_running", Help: "Requests under way in the gateway."}, []string{"endpoint"})
	reg.MustRegister(m.running)
	return m
}
