package native

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dlm"
	"dlm/engine/infer"
	"dlm/engine/model"
	"dlm/engine/sample"
)

// Generate answers every request. Requests share passes; no answer depends on
// its neighbours. A completion's Latency counts from the call to its last token,
// so it includes waiting for a place in the batch. Sampling.MaxTokens 0 means as
// many tokens as the context holds.
//
// The token that ends the turn is the last of a stopped completion's Tokens,
// with its log-probability; it adds no text. Draws depend on seed and position
// only, so equal requests with equal seeds get equal answers. emit is called
// while the base is in use and must not call methods that compute.
func (n *Native) Generate(ctx context.Context, reqs []dlm.GenerateRequest, emit func(i int, t dlm.Token)) ([]dlm.Completion, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	in := make([]infer.Request, len(reqs))
	for i, r := range reqs {
		var err error
		if in[i], err = n.request(r); err != nil {
			return nil, requestError(len(reqs), i, err)
		}
	}
	return n.generate(ctx, in, emit)
}

// generate runs requests whose prompts are ids. Callers hold n.mu.
func (n *Native) generate(ctx context.Context, reqs []infer.Request, emit func(i int, t dlm.Token)) ([]dlm.Completion, error) {
	e, err := n.infer()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	out := make([]dlm.Completion, len(reqs))
	results, err := e.Generate(ctx, reqs, func(i int, t infer.Token) {
		out[i].Latency = time.Since(start)
		if emit != nil {
			emit(i, token(t))
		}
	})
	if err != nil {
		return nil, inferError(len(reqs), err)
	}
	for i, r := range results {
		out[i].Text, out[i].Finish, out[i].PromptTokens = r.Text, string(r.Finish), len(reqs[i].IDs)
		out[i].Tokens = make([]dlm.Token, len(r.Tokens))
		for j, t := range r.Tokens {
			out[i].Tokens[j] = token(t)
		}
	}
	return out, nil
}

func token(t infer.Token) dlm.Token {
	return dlm.Token{ID: t.ID, Text: t.Text, LogProb: float64(t.LogProb)}
}

// request turns a request of the port into the engine's. Callers hold n.mu.
func (n *Native) request(r dlm.GenerateRequest) (infer.Request, error) {
	a, err := n.adapter(r.Adapter)
	if err != nil {
		return infer.Request{}, err
	}
	ids, err := n.Prompt(r.Messages, r.Raw)
	if err != nil {
		return infer.Request{}, err
	}
	s := r.Sampling
	return infer.Request{
		IDs: ids, Adapter: a, StopIDs: n.id.StopIDs, StopStrings: s.Stop, MaxTokens: s.MaxTokens,
		Sampling: sample.Params{
			Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP,
			RepetitionPenalty: s.RepetitionPenalty, Seed: s.Seed,
		},
	}, nil
}

// Score gives the log-probability of each token of the completions. The ids are
// those that training would see, so trained and served values can be compared
// to the last bit.
func (n *Native) Score(ctx context.Context, reqs []dlm.ScoreRequest) ([]dlm.Scored, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e, err := n.infer()
	if err != nil {
		return nil, err
	}
	in := make([]infer.ScoreRequest, len(reqs))
	for i, r := range reqs {
		if in[i], err = n.scoreRequest(r); err != nil {
			return nil, requestError(len(reqs), i, err)
		}
	}
	scores, err := e.Score(ctx, in)
	if err != nil {
		return nil, inferError(len(reqs), err)
	}
	out := make([]dlm.Scored, len(reqs))
	for i, logps := range scores {
		out[i].Tokens = n.tokens(in[i].IDs[in[i].From:])
		for j, logp := range logps {
			out[i].Tokens[j].LogProb = float64(logp)
			out[i].Sum += float64(logp)
		}
	}
	return out, nil
}

func (n *Native) scoreRequest(r dlm.ScoreRequest) (infer.ScoreRequest, error) {
	var a model.Adapter
	a, err := n.adapter(r.Adapter)
	if err != nil {
		return infer.ScoreRequest{}, err
	}
	ids, from, err := n.Completed(r.Messages, r.Raw, r.Completion, r.EndOfTurn)
	if err != nil {
		return infer.ScoreRequest{}, err
	}
	return infer.ScoreRequest{IDs: ids, From: from, Adapter: a}, nil
}

// inferError gives an error of the engine that concerns one request its name.
func inferError(n int, err error) error {
	var re *infer.RequestError
	if errors.As(err, &re) {
		return requestError(n, re.Index, re.Err)
	}
	return err
}

// requestError names a request where there are several.
func requestError(n, i int, err error) error {
	if n == 1 {
		return err
	}
	return fmt.Errorf("request %d of %d: %w", i+1, n, err)
}
