package watch

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collectpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dlm"
	"dlm/serve"
)

// collected is a collector of the test's own: it keeps the spans that it is sent.
type collected struct {
	mu       sync.Mutex
	paths    []string
	spans    []*tracepb.Span
	resource map[string]string
}

func (c *collected) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var req collectpb.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &req) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paths = append(c.paths, r.URL.Path)
	for _, rs := range req.ResourceSpans {
		c.resource = attributes(rs.Resource.Attributes)
		for _, ss := range rs.ScopeSpans {
			c.spans = append(c.spans, ss.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func attributes(kvs []*commonpb.KeyValue) map[string]string {
	out := map[string]string{}
	for _, kv := range kvs {
		out[kv.Key] = kv.Value.String()
	}
	return out
}

func TestTraces(t *testing.T) {
	for _, prompts := range []bool{false, true} {
		got := &collected{}
		srv := httptest.NewServer(got)
		tr, err := NewTracing(t.Context(), TraceOptions{Endpoint: srv.URL, Version: "test", Note: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		w, c := newTest(Options{Tracing: tr, Prompts: prompts})
		r := chat()
		r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		ctx := answer(w, c, r)

		// The upstream sees the same trace, with our span as its parent.
		up, asked := http.Header{}, httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {}))
		defer asked.Close()
		sent, err := http.NewRequestWithContext(ctx, http.MethodGet, asked.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		rt := Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
			up = r.Header.Clone()
			return http.DefaultTransport.RoundTrip(r)
		}))
		resp, err := rt.RoundTrip(sent)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if p := up.Get("traceparent"); !strings.HasPrefix(p, "00-0af7651916cd43dd8448eb211c80319c-") || strings.Contains(p, "b7ad6b7169203331") {
			t.Errorf("the upstream got traceparent %q", p)
		}
		if sent.Header.Get("traceparent") != "" {
			t.Error("the request itself was changed")
		}

		_, rec := w.Begin(chat(), serve.Call{Endpoint: "completions"})
		rec.End(serve.Outcome{Status: 502, Err: dlm.Faultf(dlm.FaultUpstream, "", "gone")})
		if err := w.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		srv.Close()
		if len(got.spans) != 2 || got.paths[0] != "/v1/traces" {
			t.Fatalf("%d spans by %v, expected 2 by /v1/traces", len(got.spans), got.paths)
		}
		s := got.spans[0]
		if s.Name != "chat bank@canary" || s.Kind != tracepb.Span_SPAN_KIND_SERVER || len(s.Events) != 1 {
			t.Errorf("span %v", s)
		}
		if string(s.ParentSpanId) != "\xb7\xad\x6b\x71\x69\x20\x33\x31" {
			t.Errorf("parent %x", s.ParentSpanId)
		}
		have := attributes(s.Attributes)
		for k, want := range map[string]string{"gen_ai.operation.name": `"chat"`, "gen_ai.request.model": `"bank@canary"`, "gen_ai.usage.input_tokens": "12", "gen_ai.usage.output_tokens": ":3",
			"gen_ai.response.finish_reasons": `"stop"`, "dlm.alias": `"canary"`, "dlm.adapter": "abababab", "dlm.base": "sha256:00", "dlm.template": `"t"`, "dlm.tenant": `"app"`, "http.response.status_code": "200"} {
			if !strings.Contains(have[k], want) {
				t.Errorf("%s is %s, expected %s", k, have[k], want)
			}
		}
		if text := s.String(); strings.Contains(text, "secret") != prompts {
			t.Errorf("prompts: %v, and the span is %s", prompts, text)
		}
		if f := got.spans[1]; f.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR || !strings.Contains(attributes(f.Attributes)["error.type"], "upstream") {
			t.Errorf("the failed request's span: %v", f)
		}
		if !strings.Contains(got.resource["service.name"], "dlm") {
			t.Errorf("resource %v", got.resource)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestNoTracing: without a collector the trace of whoever asks is passed on.
func TestNoTracing(t *testing.T) {
	w, c := newTest(Options{})
	r := chat()
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	r.Header.Set("traceparent", parent)
	ctx := answer(w, c, r)
	sent, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://upstream/", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	resp, err := Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
		got = r.Header.Get("traceparent")
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})).RoundTrip(sent)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got != parent {
		t.Errorf("passed on %q", got)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCollectorIsAway: requests and the end do not wait for a collector that does
// not answer.
func TestCollectorIsAway(t *testing.T) {
	tr, err := NewTracing(t.Context(), TraceOptions{Endpoint: "http://127.0.0.1:1", Note: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	w, c := newTest(Options{Tracing: tr})
	begin := time.Now()
	answer(w, c, chat())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_ = w.Close(ctx) // says that it could not be sent, or not
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}
