package dlm

import (
	"encoding/json"
	"math"
)

// Validate refuses parameters that mean nothing: a [Fault] of FaultRequest that
// names the field.
func (s Sampling) Validate() error {
	bad := func(field string, v any, expected string) error {
		return Faultf(FaultRequest, field, "%s %v: expected %s", field, v, expected)
	}
	part := func(v float64) bool { return v >= 0 && v <= 1 } // false for NaN
	switch {
	case s.MaxTokens < 0:
		return bad("max_tokens", s.MaxTokens, "a positive number, or 0 for as many as the context holds")
	case !(s.Temperature >= 0 && s.Temperature <= 1e6):
		return bad("temperature", s.Temperature, "0 (greedy) or more")
	case s.TopK < 0:
		return bad("top_k", s.TopK, "0 (off) or more")
	case !part(s.TopP):
		return bad("top_p", s.TopP, "0 (off) to 1")
	case !part(s.MinP):
		return bad("min_p", s.MinP, "0 (off) to 1")
	case !(s.RepetitionPenalty >= 0 && s.RepetitionPenalty <= 1e6):
		return bad("repetition_penalty", s.RepetitionPenalty, "0 or 1 (off), or more")
	case !(math.Abs(s.PresencePenalty) <= 1e6):
		return bad("presence_penalty", s.PresencePenalty, "a number; 0 is off")
	case !(math.Abs(s.FrequencyPenalty) <= 1e6):
		return bad("frequency_penalty", s.FrequencyPenalty, "a number; 0 is off")
	case s.MinTokens < 0 || s.MaxTokens > 0 && s.MinTokens > s.MaxTokens:
		return bad("min_tokens", s.MinTokens, "0 (off) to max_tokens")
	}
	for _, stop := range s.Stop {
		if stop == "" {
			return Faultf(FaultRequest, "stop", "an empty stop string would stop at once; leave it out")
		}
	}
	for id, v := range s.LogitBias {
		if id < 0 || !(math.Abs(v) <= 1e6) {
			return Faultf(FaultRequest, "logit_bias", "logit_bias of token %d is %v: expected the id of a token and a number", id, v)
		}
	}
	return nil
}

// Validate refuses a format that says nothing or two things.
func (f *Format) Validate() error {
	if f == nil {
		return nil
	}
	given := 0
	for _, is := range []bool{f.JSON, len(f.Schema) > 0, f.Regex != "", len(f.Choices) > 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		return Faultf(FaultRequest, f.Param(), "the format says %d things; expected one: a JSON object, a schema, an expression or choices", given)
	}
	if len(f.Schema) > 0 && !json.Valid(f.Schema) {
		return Faultf(FaultRequest, f.Param(), "the schema is no JSON")
	}
	return nil
}

// Param is the field of OpenAI's request, or of vLLM's beyond it, that asks for
// the format.
func (f *Format) Param() string {
	switch {
	case f.Regex != "":
		return "guided_regex"
	case len(f.Choices) > 0:
		return "guided_choice"
	}
	return "response_format"
}

// Validate refuses what no generator can answer: a [Fault] of FaultRequest that
// names the field.
func (r *GenerateRequest) Validate() error {
	if err := r.Sampling.Validate(); err != nil {
		return err
	}
	if err := r.Format.Validate(); err != nil {
		return err
	}
	switch {
	case len(r.Messages) == 0 && r.Raw == "" && len(r.IDs) == 0:
		return Faultf(FaultRequest, "prompt", "there is no prompt: neither messages nor plain text nor token ids")
	case r.TopLogProbs < 0:
		return Faultf(FaultRequest, "top_logprobs", "top_logprobs %d: expected 0 (off) or more", r.TopLogProbs)
	case r.PromptOnly && !r.PromptLogProbs:
		return Faultf(FaultRequest, "max_tokens", "nothing is asked for: neither a completion nor the prompt's log-probabilities")
	}
	return nil
}
