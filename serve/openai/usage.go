package openai

import "dlm"

// Usage counts the tokens of a request.
type Usage struct {
	Prompt     int           `json:"prompt_tokens"`
	Completion int           `json:"completion_tokens"`
	Total      int           `json:"total_tokens"`
	Details    PromptDetails `json:"prompt_tokens_details"`
}

// PromptDetails says how many tokens of prompts needed no computation.
type PromptDetails struct {
	Cached int `json:"cached_tokens"`
}

// UsageOf counts the completions of a request, n for each prompt. A prompt is
// counted once, however many choices it has, and so is what of it was cached:
// for its first choice.
func UsageOf(all []dlm.Completion, n int) Usage {
	var u Usage
	for i, c := range all {
		if i%n == 0 {
			u.Prompt += c.PromptTokens
			u.Details.Cached += c.Cached
		}
		u.Completion += len(c.Tokens)
	}
	u.Total = u.Prompt + u.Completion
	return u
}

// Head is what the bodies of an answer and of each of its events begin with.
type Head struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"` // seconds since 1970
	Model   string `json:"model"`   // as asked for
	System  string `json:"system_fingerprint"`
}
