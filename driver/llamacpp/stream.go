package llamacpp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"dlm"
	"dlm/internal/remote"
)

// chunk is one event of /completion.
type chunk struct {
	Tokens   []int32 `json:"tokens"`
	Probs    []prob  `json:"completion_probabilities"`
	Stop     bool    `json:"stop"`
	Made     int     `json:"tokens_predicted"` // as far as this event
	StopType string  `json:"stop_type"`        // "eos", "limit", "word", with the last event
	Error    *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// prob is what the model gave a token, before sampling parameters.
type prob struct {
	ID      int32   `json:"id"`
	LogProb float64 `json:"logprob"`
	Bytes   []int   `json:"bytes"` // that it spells; none for a special token
	Top     []prob  `json:"top_logprobs"`
}

// alternatives are the top likeliest tokens at a token's place.
func (p *prob) alternatives(codec dlm.Codec, top int) []dlm.Alternative {
	out := make([]dlm.Alternative, 0, top)
	for _, a := range p.Top {
		if len(out) < top {
			out = append(out, dlm.Alternative{ID: a.ID, Bytes: codec.Bytes(a.ID), LogProb: min(a.LogProb, 0)})
		}
	}
	return out
}

// stream asks for a completion and hands its events to f until f returns
// remote.ErrDone.
func (e *Engine) stream(ctx context.Context, q request, f func(chunk) error) error {
	body, err := e.do(ctx, http.MethodPost, "/completion", q)
	if err != nil {
		return err
	}
	defer body.Close()
	err = readEvents(body, f)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// readEvents reads server-sent events until f returns remote.ErrDone.
func readEvents(r io.Reader, f func(chunk) error) error {
	return remote.Events(r, func(data []byte) error {
		var c chunk
		if err := json.Unmarshal(data, &c); err != nil {
			return fmt.Errorf("llama-server's answer is no JSON: %w", err)
		}
		if c.Error != nil {
			return fmt.Errorf("llama-server: %s", c.Error.Message)
		}
		return f(c)
	})
}

// errGap is a stream that left out tokens: llama-server sends no event for one that
// ends within a character, and the next event is of its last token alone.
var errGap = errors.New("the stream left out a token")

// whole asks a completion again, not streamed, and reads what r has not.
func (e *Engine) whole(ctx context.Context, q request, r *reading) error {
	q.Stream = false
	body, err := e.do(ctx, http.MethodPost, "/completion", q)
	if err != nil {
		return err
	}
	defer body.Close()
	var c chunk
	if err := json.NewDecoder(body).Decode(&c); err != nil {
		return fmt.Errorf("llama-server's answer: %w", err)
	}
	for i, t := range r.out.Tokens {
		if i >= len(c.Tokens) || c.Tokens[i] != t.ID {
			return fmt.Errorf("llama-server left out a token of its stream, and asked again it gives other tokens from the %dth on", i+1)
		}
	}
	if c.Probs, err = e.aligned(ctx, q, c); err != nil {
		return err
	}
	n := len(r.out.Tokens)
	c.Tokens, c.Probs = c.Tokens[n:], c.Probs[n:]
	if err := r.event(c); err != nil && !errors.Is(err, remote.ErrDone) {
		return err
	}
	return nil
}

// aligned are the log-probabilities of all tokens of a whole answer. llama-server
// leaves out those of tokens that end within a character, too; it is asked for them.
func (e *Engine) aligned(ctx context.Context, q request, c chunk) ([]prob, error) {
	out, told := make([]prob, len(c.Tokens)), c.Probs
	for i, id := range c.Tokens {
		if len(told) > 0 && told[0].ID == id {
			out[i], told = told[0], told[1:]
			continue
		}
		if len(c.Probs) == 0 {
			return nil, fmt.Errorf("llama-server gave token %d no log-probability; expected a version of 2025 or later", id)
		}
		var err error
		before := append(slices.Clone(q.Prompt), c.Tokens[:i]...)
		if out[i], err = e.told(ctx, before, id, q.LoRA, q.Probs); err != nil {
			return nil, err
		}
	}
	return out, nil
}
