package watch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"dlm"
	"dlm/serve"
)

// log writes the request's line. Under r.mu.
func (r *record) log(o serve.Outcome, took time.Duration) {
	l := r.w.o.Log
	if l == nil {
		return
	}
	t := &r.target
	attrs := []slog.Attr{
		slog.String("id", r.call.ID), slog.String("endpoint", r.call.Endpoint), slog.String("tenant", r.call.Tenant),
		slog.String("model", t.Name), slog.String("alias", t.Alias), slog.String("adapter", string(t.Adapter)), slog.String("engine", t.Engine),
		slog.Bool("stream", r.call.Stream), slog.Int("status", o.Status), slog.String("finish", o.Finish),
		slog.Int("prompt_tokens", o.Prompt), slog.Int("cached_tokens", o.Cached), slog.Int("completion_tokens", o.Completion),
		slog.Float64("queue_s", seconds(o.Queued)), slog.Float64("duration_s", seconds(took)),
	}
	if !r.first.IsZero() {
		attrs = append(attrs, slog.Float64("ttft_s", seconds(r.first.Sub(r.begin))))
	}
	if c := r.span.SpanContext(); c.IsValid() {
		attrs = append(attrs, slog.String("trace", c.TraceID().String()))
	}
	level := slog.LevelInfo
	if o.Err != nil {
		attrs = append(attrs, faultAttrs(o, r.w.o.Prompts)...)
		if o.Status >= 500 {
			level = slog.LevelError
		}
	}
	if r.w.o.Prompts {
		attrs = append(attrs, slog.String("prompt", r.call.Prompt), slog.String("completion", o.Text))
	}
	l.LogAttrs(context.Background(), level, "request", attrs...)
}

// faultAttrs say what went wrong. What a request did wrong is told by kind and
// field alone, because such an error may quote the request.
func faultAttrs(o serve.Outcome, texts bool) []slog.Attr {
	var attrs []slog.Attr
	var f *dlm.Fault
	if errors.As(o.Err, &f) {
		attrs = append(attrs, slog.String("fault", string(f.Kind)))
		if f.Param != "" {
			attrs = append(attrs, slog.String("param", f.Param))
		}
	}
	if o.Status >= 500 || texts {
		attrs = append(attrs, slog.String("error", o.Err.Error()))
	}
	return attrs
}

// seconds is a time to the microsecond.
func seconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e6 }
