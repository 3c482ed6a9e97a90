package watch

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"dlm"
	"dlm/serve"
)

// TraceOptions say where traces go.
type TraceOptions struct {
	// Endpoint is the collector's address, such as http://127.0.0.1:4318; "/v1/traces"
	// is added where it has no path. Empty: what OTEL_EXPORTER_OTLP_ENDPOINT says.
	Endpoint string
	Version  string      // of dlm
	Note     func(error) // told when spans cannot be sent; nil: nobody
}

// Tracing sends spans to a collector, in batches, beside the requests.
type Tracing struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// NewTracing begins to send spans by OTLP over HTTP. The variables of
// OpenTelemetry (OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER,
// OTEL_SERVICE_NAME, ...) are heeded. It does not wait for the collector.
func NewTracing(ctx context.Context, o TraceOptions) (*Tracing, error) {
	var opts []otlptracehttp.Option
	if o.Endpoint != "" {
		url := strings.TrimRight(o.Endpoint, "/")
		if _, rest, ok := strings.Cut(url, "://"); ok && !strings.Contains(rest, "/") {
			url += "/v1/traces"
		}
		opts = append(opts, otlptracehttp.WithEndpointURL(url))
	}
	exporter, err := otlptracehttp.New(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("traces: %w; expected an address such as http://127.0.0.1:4318", err)
	}
	res, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "dlm"), attribute.String("service.version", o.Version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	if o.Note != nil {
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { o.Note(fmt.Errorf("traces: %w", err)) }))
	}
	p := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(res))
	return &Tracing{p, p.Tracer("dlm/serve", trace.WithInstrumentationVersion(o.Version))}, nil
}

// Close sends what is held and stops.
func (t *Tracing) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// context reads and writes W3C's traceparent and tracestate.
var traceContext = propagation.TraceContext{}

// Transport passes the trace of a request on to the upstream that answers it.
func Transport(next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return passOn{next}
}

type passOn struct{ next http.RoundTripper }

// RoundTrip adds traceparent to a copy of the request.
func (p passOn) RoundTrip(r *http.Request) (*http.Response, error) {
	if trace.SpanContextFromContext(r.Context()).IsValid() {
		r = r.Clone(r.Context())
		traceContext.Inject(r.Context(), propagation.HeaderCarrier(r.Header))
	}
	return p.next.RoundTrip(r)
}

// CloseIdleConnections lets go of what is idle below.
func (p passOn) CloseIdleConnections() {
	if c, ok := p.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// operations are OpenTelemetry's names of endpoints.
var operations = map[string]string{"chat": "chat", "completions": "text_completion", "embeddings": "embeddings"}

func operation(endpoint string) string {
	if op, ok := operations[endpoint]; ok {
		return op
	}
	return endpoint
}

// startSpan begins the request's span, as a child of the one that the request
// names. Without traces that one is passed on.
func (r *record) startSpan(req *http.Request) context.Context {
	ctx := traceContext.Extract(req.Context(), propagation.HeaderCarrier(req.Header))
	if r.w.o.Tracing == nil {
		r.span = noop.Span{}
		return ctx
	}
	ctx, r.span = r.w.o.Tracing.tracer.Start(ctx, operation(r.call.Endpoint), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("gen_ai.operation.name", operation(r.call.Endpoint)),
		attribute.String("gen_ai.provider.name", "dlm"),
		attribute.String("http.request.method", req.Method),
		attribute.String("url.path", req.URL.Path),
		attribute.Bool("dlm.stream", r.call.Stream),
		attribute.String("dlm.request.id", r.call.ID),
		attribute.String("dlm.tenant", r.call.Tenant),
	))
	return ctx
}

// traceRoute adds what answers.
func (r *record) traceRoute(t serve.Target) {
	if !r.span.IsRecording() {
		return
	}
	r.span.SetName(operation(r.call.Endpoint) + " " + t.Model)
	name := t.Name
	if t.Alias != "" {
		name += "@" + t.Alias
	}
	r.span.SetAttributes(
		attribute.String("gen_ai.request.model", t.Model),
		attribute.String("gen_ai.response.model", name),
		attribute.String("dlm.name", t.Name),
		attribute.String("dlm.alias", t.Alias),
		attribute.String("dlm.adapter", string(t.Adapter)),
		attribute.String("dlm.base", string(t.Base)),
		attribute.String("dlm.template", t.Template),
		attribute.String("dlm.engine", t.Engine),
	)
}

// endSpan ends the request's span.
func (r *record) endSpan(o serve.Outcome, took time.Duration) {
	if !r.span.IsRecording() {
		return
	}
	r.span.SetAttributes(
		attribute.Int("http.response.status_code", o.Status),
		attribute.Int("gen_ai.usage.input_tokens", o.Prompt),
		attribute.Int("gen_ai.usage.output_tokens", o.Completion),
		attribute.Int("dlm.usage.cached_tokens", o.Cached),
		attribute.Float64("dlm.queue_seconds", o.Queued.Seconds()),
		attribute.Float64("dlm.duration_seconds", took.Seconds()),
	)
	if !r.first.IsZero() {
		r.span.SetAttributes(attribute.Float64("dlm.time_to_first_token_seconds", r.first.Sub(r.begin).Seconds()))
	}
	if o.Finish != "" {
		r.span.SetAttributes(attribute.StringSlice("gen_ai.response.finish_reasons", []string{o.Finish}))
	}
	if r.w.o.Prompts {
		r.span.SetAttributes(attribute.String("dlm.prompt", r.call.Prompt), attribute.String("dlm.completion", o.Text))
	}
	if o.Err != nil || o.Status >= 400 {
		kind := string(dlm.FaultOf(o.Err))
		if kind == "" {
			kind = strconv.Itoa(o.Status)
		}
		r.span.SetAttributes(attribute.String("error.type", kind))
		if o.Status >= 500 { // what the client did wrong is no error of the server's span
			r.span.SetStatus(codes.Error, kind)
		}
	}
	r.span.End()
}
