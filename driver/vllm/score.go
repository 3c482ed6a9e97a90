package vllm

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"dlm"
	"dlm/internal/remote"
)

// Score gives the log-probability of each token of the completions: vLLM's of
// the prompt that consists of both.
func (e *Engine) Score(ctx context.Context, reqs []dlm.ScoreRequest) ([]dlm.Scored, error) {
	type scoring struct {
		ids   []int32
		from  int
		model string
	}
	in := make([]scoring, len(reqs))
	for i, r := range reqs {
		ids, from, err := e.o.Codec.Completed(r.Messages, r.Raw, r.Completion, r.EndOfTurn)
		s := scoring{ids: ids, from: from}
		if err == nil && len(ids) >= e.context() {
			err = fmt.Errorf("prompt and completion have %d tokens; the context of %d must hold one more; shorten one of them", len(ids), e.context())
		}
		if err == nil {
			s.model, err = e.modelOf(ctx, r.Adapter)
		}
		if err != nil {
			return nil, remote.RequestError(len(reqs), i, err)
		}
		in[i] = s
	}
	out := make([]dlm.Scored, len(reqs))
	err := remote.Each(ctx, len(reqs), e.o.Parallel, func(ctx context.Context, i int) error {
		s := in[i]
		logps, err := e.logProbs(ctx, s.model, s.ids)
		if err != nil {
			return e.failed(ctx, err)
		}
		out[i] = e.spell(s.ids[s.from:], logps[s.from-1:])
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// spell puts tokens, their texts and log-probabilities together.
func (e *Engine) spell(ids []int32, logps []float64) (out dlm.Scored) {
	text := e.o.Codec.Spell(nil)
	for i, id := range ids {
		t := dlm.Token{ID: id, LogProb: logps[i]}
		t.Text, _ = text.Push(id)
		if i == len(ids)-1 {
			t.Text += text.Flush()
		}
		out.Tokens = append(out.Tokens, t)
		out.Sum += t.LogProb
	}
	return out
}

// logProbs returns the log-probability of each of ids[1:], given those before.
func (e *Engine) logProbs(ctx context.Context, model string, ids []int32) ([]float64, error) {
	tokens, err := e.prompt(ctx, model, ids, 0)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(ids)-1)
	for i, t := range tokens[1:] {
		out[i] = t.LogProb
	}
	return out, nil
}

// prompt returns the tokens of a prompt with their log-probabilities, that of the
// first 0, and the top likeliest at their places.
//
// It waits until it is the only request under way. With LoRA on, vLLM 0.32 on
// processors dies when it scores a prompt in a step that holds another request:
// it computes the prompt's logits with the adapter indices of the step's sampled
// rows, of which there are as many as requests; one is broadcast, two do not fit.
func (e *Engine) prompt(ctx context.Context, model string, ids []int32, top int) ([]dlm.Token, error) {
	e.turn.Lock()
	defer e.turn.Unlock()
	if e.cut.Swap(false) {
		e.settle(ctx)
	}
	body := sampled(dlm.Sampling{MaxTokens: 1})
	body.Model, body.Prompt, body.StopIDs, body.PromptProbs = model, ids, []int32{}, &top
	var answer struct {
		Choices []struct {
			PromptIDs   []int32           `json:"prompt_token_ids"`
			PromptProbs []map[string]told `json:"prompt_logprobs"`
		}
	}
	if err := e.call(ctx, "POST", "/v1/completions", body, &answer); err != nil {
		return nil, err
	}
	if len(answer.Choices) != 1 {
		return nil, fmt.Errorf("vLLM answered with %d choices; expected one", len(answer.Choices))
	}
	c := answer.Choices[0]
	if !slices.Equal(c.PromptIDs, ids) || len(c.PromptProbs) != len(ids) {
		return nil, fmt.Errorf("vLLM scored another text than it was sent: %d token ids with %d log-probabilities instead of %d", len(c.PromptIDs), len(c.PromptProbs), len(ids))
	}
	out := make([]dlm.Token, len(ids))
	for i, id := range ids {
		out[i] = dlm.Token{ID: id, Bytes: e.o.Codec.Bytes(id)}
		if i == 0 {
			continue
		}
		v, ok := c.PromptProbs[i][strconv.Itoa(int(id))]
		if !ok || v.LogProb == nil || math.IsNaN(*v.LogProb) {
			return nil, fmt.Errorf("vLLM gave no log-probability for token %d (id %d) of the text", i, id)
		}
		out[i].LogProb = min(*v.LogProb, 0)
		if top > 0 {
			out[i].Top = e.tops(c.PromptProbs[i], top)
		}
	}
	return out, nil
}

// told is what vLLM tells of a token of a prompt.
type told struct {
	LogProb *float64 `json:"logprob"`
}

// tops are the likeliest tokens at a place of a prompt; the one that stands there
// is among what is told, likely or not.
func (e *Engine) tops(at map[string]told, top int) (out []dlm.Alternative) {
	for name, v := range at {
		id, err := strconv.ParseInt(name, 10, 32)
		if err == nil && v.LogProb != nil {
			out = append(out, dlm.Alternative{ID: int32(id), Bytes: e.o.Codec.Bytes(int32(id)), LogProb: min(*v.LogProb, 0)})
		}
	}
	return likeliest(out, top)
}

// settleFor is how long a cancelled request may take to end in vLLM.
const settleFor = 10 * time.Second

// settle waits until vLLM runs no request any more, as far as its metrics tell.
func (e *Engine) settle(ctx context.Context) {
	for end := time.Now().Add(settleFor); time.Now().Before(end); {
		body, err := e.do(ctx, http.MethodGet, "/metrics", nil)
		if err != nil {
			return // it has none; the request that follows will say more
		}
		raw, err := io.ReadAll(io.LimitReader(body, 8<<20))
		body.Close()
		if err != nil || !busy(string(raw)) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// busy reads vLLM's metrics: are requests running or waiting?
func busy(metrics string) bool {
	for line := range strings.Lines(metrics) {
		if !strings.HasPrefix(line, "vllm:num_requests_running") && !strings.HasPrefix(line, "vllm:num_requests_waiting") {
			continue
		}
		if f := strings.Fields(line); f[len(f)-1] != "0.0" && f[len(f)-1] != "0" {
			return true
		}
	}
	return false
}
