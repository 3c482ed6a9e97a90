package watch

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/trace"

	"dlm/serve"
)

// Options are an observer's settings. The zero value counts and does nothing else.
type Options struct {
	Version  string         // of dlm
	Engines  []Engine       // read when metrics are
	Operator serve.Operator // nil: there is none
	Log      *slog.Logger   // of requests; nil: none
	Prompts  bool           // log and traces hold the texts of prompts and completions
	Tracing  *Tracing       // nil: no traces
	Now      func() time.Time
}

// Watch is an observer. Its methods may be called from several goroutines.
type Watch struct {
	o       Options
	reg     *prometheus.Registry
	m       *metrics
	models  names
	tenants names
	answers answers
}

var _ serve.Observer = (*Watch)(nil)

// New returns an observer with a registry of its own.
func New(o Options) *Watch {
	if o.Now == nil {
		o.Now = time.Now
	}
	w := &Watch{o: o, reg: prometheus.NewRegistry()}
	w.m = newMetrics(w.reg)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dlm_build_info", Help: "1; the version of dlm and of Go."}, []string{"version", "go"})
	build.WithLabelValues(o.Version, runtime.Version()).Set(1)
	w.reg.MustRegister(build, &collector{o.Engines, o.Operator, &w.answers},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return w
}

// Handler answers /metrics.
func (w *Watch) Handler() http.Handler {
	return promhttp.HandlerFor(w.reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Begin starts a request. The context carries its span, when traces are kept, or
// else the one of whoever asks.
func (w *Watch) Begin(r *http.Request, c serve.Call) (context.Context, serve.Record) {
	rec := &record{w: w, call: c, begin: w.o.Now(), tenant: w.tenants.label(c.Tenant)}
	ctx := rec.startSpan(r)
	w.m.running.WithLabelValues(c.Endpoint).Inc()
	rec.model = "unknown"
	return ctx, rec
}

// record is one request under way.
type record struct {
	w      *Watch
	call   serve.Call
	begin  time.Time
	span   trace.Span
	tenant string

	mu      sync.Mutex
	ended   bool
	target  serve.Target
	model   string // label
	alias   string // label
	first   time.Time
	last    map[int]time.Time // of each choice's last token
	between prometheus.Observer
}

// Route says what answers the request.
func (r *record) Route(t serve.Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = t
	r.model, r.alias = r.w.models.label(t.Name), t.Alias
	if r.alias != "" {
		r.alias = r.w.models.label(t.Alias)
	}
	r.between = nil
	r.w.answers.saw(r.model, r.alias, short(string(t.Adapter)), t.Engine)
	r.traceRoute(t)
}

// short is a digest's algorithm and first 12 digits.
func short(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }

// Token says that one token of a choice came.
func (r *record) Token(choice int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	now := r.w.o.Now()
	if r.first.IsZero() {
		r.first = now
		r.last = make(map[int]time.Time, 1)
		r.w.m.firstToken.WithLabelValues(r.model, r.alias).Observe(now.Sub(r.begin).Seconds())
		r.span.AddEvent("gen_ai.first_token")
	}
	if last, ok := r.last[choice]; ok {
		if r.between == nil {
			r.between = r.w.m.interToken.WithLabelValues(r.model, r.alias)
		}
		r.between.Observe(now.Sub(last).Seconds())
	}
	r.last[choice] = now
}

// End counts the request. Only the first call does anything.
func (r *record) End(o serve.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.ended = true
	m, took := r.w.m, r.w.o.Now().Sub(r.begin)
	m.running.WithLabelValues(r.call.Endpoint).Dec()
	m.requests.WithLabelValues(r.call.Endpoint, r.model, r.alias, r.tenant, strconv.Itoa(o.Status)).Inc()
	m.duration.WithLabelValues(r.call.Endpoint, r.model, r.alias).Observe(took.Seconds())
	if o.Prompt > 0 || o.Completion > 0 {
		m.prompt.WithLabelValues(r.model, r.alias, r.tenant).Add(float64(max(o.Prompt, 0)))
		m.cached.WithLabelValues(r.model, r.alias, r.tenant).Add(float64(max(o.Cached, 0)))
		m.generated.WithLabelValues(r.model, r.alias, r.tenant).Add(float64(max(o.Completion, 0)))
	}
	if o.Completion > 0 {
		m.queue.WithLabelValues(r.model, r.alias).Observe(o.Queued.Seconds())
	}
	if o.Finish != "" && o.Err == nil {
		m.finished.WithLabelValues(r.model, r.alias, o.Finish).Inc()
	}
	r.endSpan(o, took)
	r.log(o, took)
}

// Close sends what traces are still held.
func (w *Watch) Close(ctx context.Context) error {
	if w.o.Tracing == nil {
		return nil
	}
	if err := w.o.Tracing.Close(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
