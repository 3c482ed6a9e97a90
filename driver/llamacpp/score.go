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
func (e *Engine) told(ctx context.Context, prompt []int32, id int32, lora []scale, k int) (prob, error) {
	c, err := e.forced(ctx, prompt, id, lora, k)
	if err != nil || len(c.Probs) == 1 && c.Probs[0].ID == id {
		return firstOf(c.Probs), err
	}
	// Nothing is told of a token that ends within a character. Of one that ends a turn
	// it is, and every other token is among its alternatives.
	if c, err = e.forced(ctx, prompt, e.o.Codec.StopIDs()[0], lora, wholeVocabulary); err != nil {
		return prob{}, err
	}
	all := firstOf(c.Probs).Top
	for _, p := range all {
		if p.ID == id {
			p.Top = all[:min(k, len(all))]
			return p, nil
		}
	}
	return prob{}, fmt.Errorf("llama-server was to give the log-probability of token %d and did not; expected a version of 2025 or later", id)
}

// wholeVocabulary is more alternatives than any base has tokens.
const wholeVocabulary = 1 << 20

func firstOf(p []prob) prob {
	if len(p) == 0 {
		return prob{}
	}
	return p[0]
}

// forced asks for the one token id after the prompt.
func (e *Engine) forced(ctx context.Context, prompt []int32, id int32, lora []scale, k int) (c chunk, err error) {
	body, err := e.do(ctx, http.MethodPost, "/completion", request{
		Prompt: prompt, MaxTokens: 1, TopP: 1, Repetition: 1, Samplers: []string{}, Probs: k, ReturnIDs: true, Cache: true,
		Bias: [][2]any{{id, certain}}, LoRA: lora,
	})
	if err != nil {
		return c, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&c); err != nil {
		if ctx.Err() != nil {
			return c, ctx.Err()
		}
		return c, fmt.Errorf("llama-server's answer: %w", err)
	}
	return c, nil
}
