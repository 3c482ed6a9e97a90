package testkit

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"dlm"
)

func generateRefuses(t *testing.T, g dlm.Generator, _ GeneratorOptions) {
	ok := ask(prompts[0], dlm.Sampling{MaxTokens: 1})
	for field, s := range map[string]dlm.Sampling{
		"temperature": {Temperature: -1}, "top_p": {TopP: 2, Temperature: 1}, "top_k": {TopK: -1}, "min_p": {MinP: -0.5},
	} {
		_, err := g.Generate(context.Background(), []dlm.GenerateRequest{ok, ask(prompts[0], s)}, nil)
		refused(t, err, field, "request 2")
	}
	_, err := g.Generate(context.Background(), []dlm.GenerateRequest{ok, ok, {Sampling: dlm.Sampling{MaxTokens: 1}}}, nil)
	refused(t, err, "request 3")
	missing := ask(prompts[0], dlm.Sampling{MaxTokens: 1})
	missing.Adapter = t.TempDir() + "/no-such-adapter"
	_, err = g.Generate(context.Background(), []dlm.GenerateRequest{missing}, nil)
	refused(t, err, "no-such-adapter")
}

// generateFaults: refusals say with whom the cause lies, and which field it is.
func generateFaults(t *testing.T, g dlm.Generator, _ GeneratorOptions) {
	ok := ask(prompts[0], dlm.Sampling{MaxTokens: 1})
	both, missing := ok, ok
	both.Format = &dlm.Format{JSON: true, Schema: json.RawMessage(`{}`)}
	missing.Adapter = t.TempDir() + "/no-such-adapter"
	for _, c := range []struct {
		kind  dlm.FaultKind
		param string
		r     dlm.GenerateRequest
	}{
		{dlm.FaultRequest, "temperature", ask(prompts[0], dlm.Sampling{Temperature: math.Inf(1)})},
		{dlm.FaultRequest, "frequency_penalty", ask(prompts[0], dlm.Sampling{FrequencyPenalty: math.NaN()})},
		{dlm.FaultRequest, "min_tokens", ask(prompts[0], dlm.Sampling{MinTokens: 3, MaxTokens: 2})},
		{dlm.FaultRequest, "stop", ask(prompts[0], dlm.Sampling{Stop: []string{""}})},
		{dlm.FaultRequest, "logit_bias", ask(prompts[0], dlm.Sampling{LogitBias: map[int32]float64{-5: 1}})},
		{dlm.FaultRequest, "response_format", both},
		{dlm.FaultRequest, "", dlm.GenerateRequest{Sampling: ok.Sampling}},
		{dlm.FaultUnknown, "", missing},
	} {
		_, err := g.Generate(context.Background(), []dlm.GenerateRequest{ok, c.r}, nil)
		var f *dlm.Fault
		if !errors.As(err, &f) || f.Kind != c.kind || c.param != "" && f.Param != c.param {
			t.Errorf("error %v (%+v): expected a fault of kind %q in %q", err, f, c.kind, c.param)
		}
	}
}

// refused checks that err is there and says every word.
func refused(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("expected an error that says %q", words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}
