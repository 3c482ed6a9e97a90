package llamacpp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"dlm"
	"dlm/internal/remote"
)

// Score gives the log-probability of each token of the completions. llama.cpp's
// server has no such question; it is asked for one token after each prefix, that
// very token made certain by a bias, and tells what the model itself gave it. The
// prefix is in its cache from the question before.
func (e *Engine) Score(ctx context.Context, reqs []dlm.ScoreRequest) ([]dlm.Scored, error) {
	type sequence struct {
		ids  []int32
		from int
		lora []scale
	}
	in := make([]sequence, len(reqs))
	for i, r := range reqs {
		var err error
		if in[i].lora, err = e.lora(r.Adapter); err == nil {
			in[i].ids, in[i].from, err = e.o.Codec.Completed(r.Messages, r.Raw, r.Completion, r.EndOfTurn)
		}
		if err == nil && (in[i].from < 1 || len(in[i].ids) > e.o.Context) {
			err = fmt.Errorf("a prompt of %d tokens and %d with its completion; llama.cpp was started for 1 to %d", in[i].from, len(in[i].ids), e.o.Context)
		}
		if err != nil {
			return nil, remote.RequestError(len(reqs), i, err)
		}
	}
	out := make([]dlm.Scored, len(reqs))
	err := e.each(ctx, len(reqs), func(ctx context.Context, i int) error {
		text := e.o.Codec.Spell(nil)
		for at := in[i].from; at < len(in[i].ids); at++ {
			id := in[i].ids[at]
			logp, err := e.logProb(ctx, in[i].ids[:at], id, in[i].lora)
			if err != nil {
				return err
			}
			t := dlm.Token{ID: id, LogProb: min(logp, 0)}
			t.Text, _ = text.Push(id)
			out[i].Tokens = append(out[i].Tokens, t)
			out[i].Sum += t.LogProb
		}
		if n := len(out[i].Tokens); n > 0 {
			out[i].Tokens[n-1].Text += text.Flush()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// certain is a bias that leaves no other token a chance.
const certain = 1e9

// logProb asks for the log-probability of id after the prompt.
func (e *Engine) logProb(ctx context.Context, prompt []int32, id int32, lora []scale) (float64, error) {
	p, err := e.told(ctx, prompt, id, lora, 1)
	return p.LogProb, err
}

// told asks what the model gives id after the prompt, and k alternatives.
func (e *Engine) told(ctx context.Context, prompt []int32, id int32, lora []scale, k int) (p prob, err error) {
	body, err := e.do(ctx, http.MethodPost, "/completion", request{
		Prompt: prompt, MaxTokens: 1, TopP: 1, Repetition: 1, Samplers: []string{}, Probs: k, ReturnIDs: true, Cache: true,
		Bias: [][2]any{{id, certain}}, LoRA: lora,
	})
	if err != nil {
		return p, err
	}
	defer body.Close()
	var c chunk
	if err := json.NewDecoder(body).Decode(&c); err != nil {
		if ctx.Err() != nil {
			return p, ctx.Err()
		}
		return p, fmt.Errorf("llama-server's answer: %w", err)
	}
	if len(c.Probs) != 1 || c.Probs[0].ID != id {
		return p, fmt.Errorf("llama-server was to give the log-probability of token %d and did not; expected a version of 2025 or later", id)
	}
	return c.Probs[0], nil
}
