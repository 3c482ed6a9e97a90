package openai

import (
	"context"
	"math"
	"slices"
	"strconv"

	"dlm"
	"dlm/internal/remote"
)

// request is the body of /chat/completions or /completions. What is off is left
// out where the server's own default is off too.
type request struct {
	Model     string        `json:"model"`
	Messages  []dlm.Message `json:"messages,omitempty"`
	Prompt    any           `json:"prompt,omitempty"` // text or ids
	MaxTokens *int          `json:"max_tokens,omitempty"`
	Echo      bool          `json:"echo,omitempty"`

	Temperature float64            `json:"temperature"`
	TopP        float64            `json:"top_p"`
	Seed        *int64             `json:"seed,omitempty"`
	Stop        []string           `json:"stop,omitempty"`
	Presence    float64            `json:"presence_penalty,omitempty"`
	Frequency   float64            `json:"frequency_penalty,omitempty"`
	Bias        map[string]float64 `json:"logit_bias,omitempty"`
	Format      any                `json:"response_format,omitempty"`

	LogProbs    any  `json:"logprobs,omitempty"` // chat: true; completions: how many alternatives
	TopLogProbs *int `json:"top_logprobs,omitempty"`

	Stream        bool           `json:"stream"`
	StreamOptions map[string]any `json:"stream_options,omitempty"`

	// vLLM's.
	TopK       int            `json:"top_k,omitempty"`
	MinP       float64        `json:"min_p,omitempty"`
	Repetition float64        `json:"repetition_penalty,omitempty"`
	MinTokens  int            `json:"min_tokens,omitempty"`
	IgnoreEOS  bool           `json:"ignore_eos,omitempty"`
	StopIDs    []int32        `json:"stop_token_ids,omitempty"`
	Structured map[string]any `json:"structured_outputs,omitempty"`
}

func (q *request) chat() bool { return q.Messages != nil }

func (q *request) path() string {
	if q.chat() {
		return "/chat/completions"
	}
	return "/completions"
}

// prepare checks a request and turns it into the server's.
func (e *Engine) prepare(ctx context.Context, r dlm.GenerateRequest) (*request, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if err := e.refuse(&r); err != nil {
		return nil, err
	}
	s := r.Sampling
	q := &request{
		Messages: r.Messages, Temperature: s.Temperature, TopP: s.TopP, Stop: s.Stop, Presence: s.PresencePenalty, Frequency: s.FrequencyPenalty,
		Stream: true, StreamOptions: map[string]any{"include_usage": true},
		TopK: s.TopK, MinP: s.MinP, MinTokens: s.MinTokens, IgnoreEOS: s.IgnoreEOS, StopIDs: s.StopIDs,
	}
	var err error
	if q.Model, err = e.modelOf(ctx, r.Adapter); err != nil {
		return nil, err
	}
	switch {
	case q.chat():
	case r.Raw != "":
		q.Prompt = r.Raw
	default:
		q.Prompt = r.IDs
	}
	if s.MaxTokens > 0 {
		q.MaxTokens = &s.MaxTokens
	}
	if q.TopP == 0 {
		q.TopP = 1
	}
	if e.o.VLLM { // whose defaults may be the model's own
		q.Repetition = max(s.RepetitionPenalty, 1)
		if s.RepetitionPenalty > 0 {
			q.Repetition = s.RepetitionPenalty
		}
	}
	if s.Temperature > 0 {
		seed := int64(remote.Seed(s) & math.MaxInt64) // signed, by the protocol
		if seed == 0 {
			seed = 1 << 30 // Ollama takes 0 for none
		}
		q.Seed = &seed
	}
	for id, v := range s.LogitBias {
		if q.Bias == nil {
			q.Bias = map[string]float64{}
		}
		q.Bias[strconv.Itoa(int(id))] = v
	}
	if !e.o.NoLogProbs {
		top := max(1, r.TopLogProbs) // llama.cpp tells none at all where no alternative is asked
		if q.chat() {
			q.LogProbs, q.TopLogProbs = true, &top
		} else {
			q.LogProbs = top
		}
	}
	q.form(r.Format)
	return q, nil
}

// form says what the completion must be.
func (q *request) form(f *dlm.Format) {
	switch {
	case f == nil:
	case f.JSON:
		q.Format = map[string]any{"type": "json_object"}
	case len(f.Schema) > 0:
		q.Format = map[string]any{"type": "json_schema", "json_schema": map[string]any{"name": "answer", "strict": true, "schema": f.Schema}}
	case f.Regex != "":
		q.Structured = map[string]any{"regex": f.Regex}
	default:
		q.Structured = map[string]any{"choice": f.Choices}
	}
}

// refuse names what the protocol, or this server, cannot be asked.
func (e *Engine) refuse(r *dlm.GenerateRequest) error {
	s := &r.Sampling
	if !e.o.VLLM {
		for _, f := range []struct {
			param string
			asked bool
		}{
			{"top_k", s.TopK > 0}, {"min_p", s.MinP > 0}, {"repetition_penalty", s.RepetitionPenalty > 0 && s.RepetitionPenalty != 1},
			{"min_tokens", s.MinTokens > 0}, {"ignore_eos", s.IgnoreEOS}, {"stop_token_ids", len(s.StopIDs) > 0},
			{"guided_regex", r.Format != nil && r.Format.Regex != ""}, {"guided_choice", r.Format != nil && len(r.Format.Choices) > 0},
		} {
			if f.asked {
				return remote.Unsupported(e.o.Name, f.param, "OpenAI's API has no such field; where the server is a vLLM, say so (kind: vllm)")
			}
		}
	}
	for _, f := range []struct {
		param string
		asked bool
	}{
		{"prompt", len(r.Messages) == 0 && r.Raw == ""}, {"logit_bias", len(s.LogitBias) > 0},
		{"presence_penalty", s.PresencePenalty != 0}, {"frequency_penalty", s.FrequencyPenalty != 0},
	} {
		if f.asked && slices.Contains(e.o.Refuses, f.param) {
			return remote.Unsupported(e.o.Name, f.param, "this server does not do what it says")
		}
	}
	switch {
	case e.o.NoLogProbs && r.TopLogProbs > 0:
		return remote.Unsupported(e.o.Name, "top_logprobs", "it tells no log-probabilities")
	case r.PromptLogProbs && (e.o.NoLogProbs || len(r.Messages) > 0):
		return remote.Unsupported(e.o.Name, "prompt_logprobs", "OpenAI's API tells those of /completions alone")
	case r.Format != nil && !e.o.VLLM && len(r.Messages) == 0:
		return remote.Unsupported(e.o.Name, r.Format.Param(), "OpenAI's API takes it with a conversation alone")
	}
	return nil
}
