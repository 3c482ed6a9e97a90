package openai

import "dlm"

// CompletionRequest is the body of /v1/completions.
type CompletionRequest struct {
	Sampled
	Prompt   Texts `json:"prompt"`
	Echo     bool  `json:"echo"`
	LogProbs *int  `json:"logprobs"` // alternatives a token; null = none, not the tokens' own either

	Explicit bool `json:"-"` // max_tokens was given
}

var completionFields = generating.with(
	[]string{"prompt", "echo", "logprobs"},
	nil,
	map[string][]string{"add_special_tokens": {"true"}, "suffix": {`""`}})

// DecodeCompletion reads a request for plain completions. An error is a
// [dlm.Fault] that names the field.
func DecodeCompletion(body []byte) (*CompletionRequest, error) {
	r := &CompletionRequest{}
	if err := completionFields.decode(body, r); err != nil {
		return nil, err
	}
	if r.Explicit = r.MaxToken != nil; !r.Explicit {
		n := DefaultTokens
		if r.MinTokens != nil {
			n = max(n, *r.MinTokens)
		}
		r.MaxToken = &n
	}
	if *r.MaxToken == 0 && !r.Echo {
		return nil, refused("max_tokens", "max_tokens is 0; expected at least 1, or echo to read the prompt's log-probabilities")
	}
	return r, nil
}

// Generate turns the request into n of the port's for each prompt, in the order of the choices.
func (r *CompletionRequest) Generate() ([]dlm.GenerateRequest, error) {
	s, err := r.sampling()
	if err != nil {
		return nil, err
	}
	if l := r.LogProbs; l != nil && (*l < 0 || *l > MaxTop) {
		return nil, refused("logprobs", "logprobs is %d; expected 0 to %d", *l, MaxTop)
	}
	format, err := r.format()
	if err != nil {
		return nil, err
	}
	if len(r.Prompt) == 0 {
		return nil, refused("prompt", "prompt is missing; expected text or token ids")
	}
	if len(r.Prompt)*r.Choices() > MaxPrompts {
		return nil, refused("prompt", "%d prompts with n %d ask for %d completions; expected at most %d", len(r.Prompt), r.Choices(), len(r.Prompt)*r.Choices(), MaxPrompts)
	}
	var out []dlm.GenerateRequest
	for i, p := range r.Prompt {
		if p.Text == "" && len(p.IDs) == 0 {
			return nil, refused("prompt", "prompt %d is empty", i)
		}
		one := dlm.GenerateRequest{Raw: p.Text, IDs: p.IDs, Sampling: s, Format: format}
		r.probabilities(&one)
		out = append(out, repeated(one, r.Choices())...)
	}
	return out, nil
}

// MaxPrompts is how many completions one request may ask for: prompts times n.
const MaxPrompts = 2048

// probabilities asks for the log-probabilities that the answer shows, with one
// alternative at least: tokens then come with their bytes.
func (r *CompletionRequest) probabilities(one *dlm.GenerateRequest) {
	if r.LogProbs != nil {
		one.TopLogProbs, one.PromptLogProbs = max(*r.LogProbs, 1), r.Echo
	}
	if r.Prompted != nil {
		one.TopLogProbs, one.PromptLogProbs = max(one.TopLogProbs, *r.Prompted, 1), true
	}
	if *r.MaxToken == 0 {
		one.PromptOnly, one.PromptLogProbs = true, true
	}
}
