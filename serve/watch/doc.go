// Package watch sees what a gateway does: Prometheus metrics, OpenTelemetry
// traces and an access log. Its main function is [New], which returns the
// gateway's serve.Observer.
//
// Metrics mean what vLLM's of the same name mean, under the prefix dlm_. Label
// values are bounded: names that no router knew are "unknown", and beyond
// [MostNames] of a kind the rest are "other". What an engine counts itself is read
// when /metrics is asked for.
//
// Traces go to an OTLP endpoint, when one is configured, with OpenTelemetry's
// attributes for generative AI. Log and traces hold no text of prompts or
// completions unless that is asked for.
//
// The package must not change what is answered, and a failing collector or log
// must not fail a request.
package watch
