package openai

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"

	"dlm"
)

// The most that one request may ask for, whoever asks.
const (
	MaxChoices     = 128 // n
	MaxStops       = 16  // stop strings, and stop tokens
	MaxTop         = 20  // alternatives a token
	MaxBias        = 1024
	DefaultTokens  = 16 // of a plain completion without max_tokens
	maxTokensLimit = 1 << 24
)

// StreamOptions is what stream_options may hold.
type StreamOptions struct {
	IncludeUsage bool `json:"include_usage"`
	Continuous   bool `json:"continuous_usage_stats"` // vLLM's; refused
	Obfuscation  bool `json:"include_obfuscation"`    // padding against eavesdroppers; none is sent
}

// UnmarshalJSON refuses fields that nobody knows.
func (o *StreamOptions) UnmarshalJSON(b []byte) error {
	type plain StreamOptions
	return streamFields.decode(b, (*plain)(o))
}

var streamFields = fields{use: []string{"include_usage", "continuous_usage_stats", "include_obfuscation"}}

// Sampled are the fields that requests of both kinds of completion share.
type Sampled struct {
	Model    string         `json:"model"`
	User     string         `json:"user"` // requests with the same one get the same side of a canary
	Stream   bool           `json:"stream"`
	Options  *StreamOptions `json:"stream_options"`
	N        *int           `json:"n"`
	Seed     *int64         `json:"seed"`
	Stop     Strings        `json:"stop"`
	MaxToken *int           `json:"max_tokens"`

	Temperature *float64 `json:"temperature"` // absent: 1, as OpenAI
	TopP        *float64 `json:"top_p"`
	TopK        *int     `json:"top_k"` // -1 or 0: off
	MinP        *float64 `json:"min_p"`
	Repetition  *float64 `json:"repetition_penalty"`
	Presence    *float64 `json:"presence_penalty"`
	Frequency   *float64 `json:"frequency_penalty"`

	Bias      map[string]float64 `json:"logit_bias"`
	MinTokens *int               `json:"min_tokens"`
	IgnoreEOS bool               `json:"ignore_eos"`
	StopIDs   IDs                `json:"stop_token_ids"`
	Prompted  *int               `json:"prompt_logprobs"`

	formats
}

// Choices is n.
func (s *Sampled) Choices() int {
	if s.N == nil {
		return 1
	}
	return *s.N
}

// IncludeUsage says whether a stream ends with what it used.
func (s *Sampled) IncludeUsage() bool { return s.Options != nil && s.Options.IncludeUsage }

// sampling refuses values that mean nothing, by field.
func (s *Sampled) sampling() (dlm.Sampling, error) {
	out := dlm.Sampling{
		Temperature: 1, IgnoreEOS: s.IgnoreEOS, Stop: s.Stop, StopIDs: s.StopIDs,
	}
	if s.Model == "" {
		return out, errNoModel()
	}
	if s.Options != nil && s.Options.Continuous {
		return out, unsupported("stream_options", "stream_options.continuous_usage_stats is not supported; include_usage sends the usage at the end")
	}
	for _, f := range []func(*dlm.Sampling) error{s.counts, s.shape, s.stops, s.penalties} {
		if err := f(&out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// counts reads what is a whole number.
func (s *Sampled) counts(out *dlm.Sampling) error {
	if n := s.Choices(); n < 1 || n > MaxChoices {
		return refused("n", "n is %d; expected 1 to %d", n, MaxChoices)
	}
	if s.Seed != nil {
		out.Seed = uint64(*s.Seed)
	}
	if m := s.MaxToken; m != nil {
		if *m < 0 || *m > maxTokensLimit {
			return refused("max_tokens", "max_tokens is %d; expected 1 to %d", *m, maxTokensLimit)
		}
		out.MaxTokens = *m
	}
	if m := s.MinTokens; m != nil {
		if *m < 0 || *m > maxTokensLimit || s.MaxToken != nil && *m > *s.MaxToken {
			return refused("min_tokens", "min_tokens is %d; expected 0 to max_tokens", *m)
		}
		out.MinTokens = *m
	}
	if p := s.Prompted; p != nil && (*p < 0 || *p > MaxTop) {
		return refused("prompt_logprobs", "prompt_logprobs is %d; expected 0 to %d", *p, MaxTop)
	}
	if s.Prompted != nil && s.Stream {
		return unsupported("prompt_logprobs", "prompt_logprobs is not supported in a stream")
	}
	return nil
}

// number reads a number between two others, both included. JSON has no NaN, but
// 1e999 must not pass either: encoding/json refuses it.
func number(name string, v *float64, least, most float64, into *float64) error {
	if v == nil {
		return nil
	}
	if !(*v >= least && *v <= most) {
		return refused(name, "%s is %g; expected %g to %g", name, *v, least, most)
	}
	*into = *v
	return nil
}

// shape reads what shapes the distribution.
func (s *Sampled) shape(out *dlm.Sampling) error {
	if err := number("temperature", s.Temperature, 0, 2, &out.Temperature); err != nil {
		return err
	}
	if err := number("top_p", s.TopP, 0, 1, &out.TopP); err != nil {
		return err
	}
	if s.TopP != nil && *s.TopP == 0 {
		return refused("top_p", "top_p is 0; expected more than 0, to 1; temperature 0 is greedy")
	}
	if err := number("min_p", s.MinP, 0, 1, &out.MinP); err != nil {
		return err
	}
	if k := s.TopK; k != nil {
		if *k < -1 || *k > math.MaxInt32 {
			return refused("top_k", "top_k is %d; expected a positive number, or -1 or 0 for off", *k)
		}
		out.TopK = max(*k, 0)
	}
	return nil
}

// stops reads what ends a completion.
func (s *Sampled) stops(*dlm.Sampling) error {
	if len(s.Stop) > MaxStops {
		return refused("stop", "stop has %d strings; expected at most %d", len(s.Stop), MaxStops)
	}
	for _, t := range s.Stop {
		if t == "" {
			return refused("stop", "an empty stop string would stop at once; leave it out")
		}
	}
	if len(s.StopIDs) > MaxStops {
		return refused("stop_token_ids", "stop_token_ids has %d ids; expected at most %d", len(s.StopIDs), MaxStops)
	}
	for _, id := range s.StopIDs {
		if id < 0 {
			return refused("stop_token_ids", "token id %d: expected 0 or more", id)
		}
	}
	return nil
}

// penalties reads what moves the logits.
func (s *Sampled) penalties(out *dlm.Sampling) error {
	if err := number("presence_penalty", s.Presence, -2, 2, &out.PresencePenalty); err != nil {
		return err
	}
	if err := number("frequency_penalty", s.Frequency, -2, 2, &out.FrequencyPenalty); err != nil {
		return err
	}
	if err := number("repetition_penalty", s.Repetition, 0, 100, &out.RepetitionPenalty); err != nil {
		return err
	}
	if s.Repetition != nil && *s.Repetition == 0 {
		return refused("repetition_penalty", "repetition_penalty is 0; expected more than 0; 1 is off")
	}
	if len(s.Bias) > MaxBias {
		return refused("logit_bias", "logit_bias has %d entries; expected at most %d", len(s.Bias), MaxBias)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Bias)) {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || id < 0 {
			return refused("logit_bias", "logit_bias: %s is no token id", quote(key))
		}
		if b := s.Bias[key]; !(b >= -100 && b <= 100) {
			return refused("logit_bias", "logit_bias of token %s is %g; expected -100 to 100", key, b)
		}
		if out.LogitBias == nil {
			out.LogitBias = map[int32]float64{}
		}
		out.LogitBias[int32(id)] = s.Bias[key]
	}
	return nil
}

// formats are the fields that say what a completion must be.
type formats struct {
	Response   *ResponseFormat `json:"response_format"`
	Choice     []string        `json:"guided_choice"`
	Regex      *string         `json:"guided_regex"`
	JSON       json.RawMessage `json:"guided_json"`
	Structured *Structured     `json:"structured_outputs"`
}
