package ollama

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"dlm"
	"dlm/internal/remote"
)

// request is the body of /api/chat and, for plain text, /api/generate.
type request struct {
	Model    string         `json:"model"`
	Messages []message      `json:"messages,omitempty"`
	Prompt   string         `json:"prompt,omitempty"`
	Raw      bool           `json:"raw,omitempty"` // no template
	Stream   bool           `json:"stream"`
	Truncate bool           `json:"truncate"`         // false: a prompt that is too long is refused, by those that know the field
	Format   any            `json:"format,omitempty"` // "json" or a schema
	Options  map[string]any `json:"options"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// chunk is one line of an answer.
type chunk struct {
	Message  message `json:"message"`
	Response string  `json:"response"` // of /api/generate
	Done     bool    `json:"done"`
	Reason   string  `json:"done_reason"` // "stop" or "length"
	Prompt   int     `json:"prompt_eval_count"`
	Error    string  `json:"error"`
}

// Generate answers every request, Options.Parallel of a call at once. Messages are
// rendered by Ollama, with the model's template. Sampling parameters are the requests',
// not the Modelfile's; a seed gives other draws than in the native engine.
//
// Ollama tells neither ids nor log-probabilities: a Token is a piece of text as it
// came, with the id -1 and the log-probability 0.
func (e *Engine) Generate(ctx context.Context, reqs []dlm.GenerateRequest, emit func(i int, t dlm.Token)) ([]dlm.Completion, error) {
	start := time.Now()
	in, out := make([]request, len(reqs)), make([]dlm.Completion, len(reqs))
	for i, r := range reqs {
		var err error
		if in[i], out[i].PromptTokens, err = e.prepare(r); err != nil {
			return nil, remote.RequestError(len(reqs), i, err)
		}
	}
	emitter := remote.NewEmitter(ctx, emit)
	err := remote.Each(ctx, len(reqs), e.o.Parallel, func(ctx context.Context, i int) error {
		err := e.complete(ctx, in[i], &out[i], func(t dlm.Token) { emitter.Tell(i, t) })
		out[i].Latency = time.Since(start)
		return e.failed(ctx, err)
	})
	if cut := emitter.Close(); err == nil {
		err = cut
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// failed gives an error of a request the reason behind it, a child that died, and
// a kind.
func (e *Engine) failed(ctx context.Context, err error) error {
	if err != nil && e.server != nil {
		err = e.server.Because(err)
	}
	return remote.Transport(ctx, "ollama", err)
}

// refuse names what Ollama cannot be asked.
func refuse(r *dlm.GenerateRequest) error {
	const prompt, none = "Ollama counts the prompt's tokens too, and the completion's alone are meant", "Ollama has no such parameter"
	s := &r.Sampling
	for _, f := range []struct {
		param string
		asked bool
		why   string
	}{
		{"prompt", len(r.Messages) == 0 && r.Raw == "", "Ollama takes text, no token ids"},
		{"presence_penalty", s.PresencePenalty != 0, prompt},
		{"frequency_penalty", s.FrequencyPenalty != 0, prompt},
		{"logit_bias", len(s.LogitBias) > 0, none},
		{"min_tokens", s.MinTokens > 0, none},
		{"ignore_eos", s.IgnoreEOS, none},
		{"stop_token_ids", len(s.StopIDs) > 0, none},
		{"top_logprobs", r.TopLogProbs > 0, "Ollama tells no log-probabilities"},
		{"prompt_logprobs", r.PromptLogProbs, "Ollama tells no log-probabilities"},
		{"guided_regex", r.Format != nil && r.Format.Regex != "", none},
		{"guided_choice", r.Format != nil && len(r.Format.Choices) > 0, none},
	} {
		if f.asked {
			return remote.Unsupported("ollama", f.param, "%s", f.why)
		}
	}
	return nil
}

// prepare checks a request and turns it into Ollama's, and counts its prompt.
func (e *Engine) prepare(r dlm.GenerateRequest) (request, int, error) {
	if err := r.Validate(); err != nil {
		return request{}, 0, err
	}
	if err := refuse(&r); err != nil {
		return request{}, 0, err
	}
	name, err := e.modelOf(r.Adapter)
	if err != nil {
		return request{}, 0, err
	}
	s, counted := r.Sampling, 0
	if e.o.Codec != nil {
		ids, err := e.o.Codec.Prompt(r.Messages, r.Raw)
		if err != nil {
			return request{}, 0, dlm.Faultf(dlm.FaultRequest, "messages", "%w", err)
		}
		counted = len(ids)
		room := e.o.Context - counted
		if room < 1 {
			return request{}, 0, dlm.Faultf(dlm.FaultRequest, "messages", "the prompt has %d tokens; the context of %d has no room for a completion; shorten the prompt, or raise num_ctx", counted, e.o.Context)
		}
		if s.MaxTokens == 0 || s.MaxTokens > room {
			s.MaxTokens = room
		}
	}
	q := request{Model: name, Stream: true, Options: e.options(s)}
	switch {
	case r.Format == nil:
	case r.Format.JSON:
		q.Format = "json"
	default:
		q.Format = r.Format.Schema
	}
	for _, m := range r.Messages {
		q.Messages = append(q.Messages, message(m))
	}
	if len(r.Messages) == 0 {
		q.Prompt, q.Raw = r.Raw, true
	}
	return q, counted, nil
}

// options writes sampling parameters in Ollama's way: values that mean "off" here
// become those that mean it there.
func (e *Engine) options(s dlm.Sampling) map[string]any {
	if s.TopP == 0 {
		s.TopP = 1
	}
	if s.RepetitionPenalty == 0 {
		s.RepetitionPenalty = 1
	}
	if s.MaxTokens == 0 {
		s.MaxTokens = -1 // as many as it likes
	}
	seed := int32(remote.Seed(s) & (1<<31 - 1))
	if seed == 0 {
		seed = 1 << 30 // Ollama takes 0 for none
	}
	o := map[string]any{
		"num_predict": s.MaxTokens, "temperature": s.Temperature, "top_k": s.TopK, "top_p": s.TopP, "min_p": s.MinP,
		"repeat_penalty": s.RepetitionPenalty, "repeat_last_n": -1, "seed": seed,
	}
	if e.o.Context > 0 {
		o["num_ctx"] = e.o.Context
	}
	if len(s.Stop) > 0 {
		o["stop"] = s.Stop
	}
	if e.o.Threads > 0 {
		o["num_thread"] = e.o.Threads
	}
	return o
}

// complete streams one completion into out.
func (e *Engine) complete(ctx context.Context, q request, out *dlm.Completion, emit func(dlm.Token)) error {
	path := "/api/chat"
	if q.Raw {
		path = "/api/generate"
	}
	body, err := e.do(ctx, http.MethodPost, path, q)
	if err != nil {
		return err
	}
	defer body.Close()
	err = readLines(body, func(c chunk) error {
		text := c.Message.Content + c.Response
		if text != "" {
			t := dlm.Token{ID: -1, Text: text}
			out.Tokens, out.Text = append(out.Tokens, t), out.Text+text
			emit(t)
		}
		if !c.Done {
			return nil
		}
		if out.PromptTokens == 0 {
			out.PromptTokens = c.Prompt
		}
		switch c.Reason {
		case "stop", "length":
			out.Finish = c.Reason
			return remote.ErrDone
		}
		return fmt.Errorf("ollama ended the completion with %q", c.Reason)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// readLines reads JSON lines until f returns remote.ErrDone.
func readLines(r io.Reader, f func(chunk) error) error {
	return remote.Lines(r, func(line []byte) error {
		var c chunk
		if err := json.Unmarshal(line, &c); err != nil {
			return fmt.Errorf("ollama's answer is no JSON: %w", err)
		}
		if c.Error != "" {
			return fmt.Errorf("ollama: %s", c.Error)
		}
		return f(c)
	})
}
