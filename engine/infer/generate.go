package infer

import (
	"context"
	"fmt"
)

// Generate answers every request. emit, when not nil, is called with each token
// of request i as it comes. The results are in the order of the requests and do
// not depend on their neighbours. An error that concerns one request is a *[RequestError].
// When ctx ends, what is under way is dropped and its error returned.
func (e *Engine) Generate(ctx context.Context, reqs []Request, emit func(i int, t Token)) ([]Result, error) {
	seqs := make([]*Sequence, 0, len(reqs))
	defer func() { e.dropAll(seqs) }()
	for i, r := range reqs {
		var each func(Token)
		if emit != nil {
			each = func(t Token) { emit(i, t) }
		}
		s, err := e.Add(r, each)
		if err != nil {
			return nil, &RequestError{i, err}
		}
		seqs = append(seqs, s)
	}
	if err := e.finish(ctx, seqs); err != nil {
		return nil, err
	}
	out := make([]Result, len(seqs))
	for i, s := range seqs {
		out[i], _ = s.Result()
	}
	return out, nil
}

// Score returns the log-probabilities of every request's completion, in the
// order of the requests.
func (e *Engine) Score(ctx context.Context, reqs []ScoreRequest) ([][]float32, error) {
	seqs := make([]*Sequence, 0, len(reqs))
	defer func() { e.dropAll(seqs) }()
	for i, r := range reqs {
		s, err := e.AddScore(r)
		if err != nil {
			return nil, &RequestError{i, err}
		}
		seqs = append(seqs, s)
	}
	if err := e.finish(ctx, seqs); err != nil {
		return nil, err
	}
	out := make([][]float32, len(seqs))
	for i, s := range seqs {
		out[i] = s.scores
	}
	return out, nil
}

// finish steps until all of seqs are done.
func (e *Engine) finish(ctx context.Context, seqs []*Sequence) error {
	for at := 0; at < len(seqs); {
		if s := seqs[at]; s.ended {
			if s.err != nil {
				return &RequestError{at, s.err}
			}
			at++
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.Step(); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) dropAll(seqs []*Sequence) {
	for _, s := range seqs {
		e.Drop(s)
	}
}

// RequestError says which request of a call went wrong.
type RequestError struct {
	Index int // counted from 0
	Err   error
}

// Error names the request as people count.
func (e *RequestError) Error() string { return fmt.Sprintf("request %d: %v", e.Index+1, e.Err) }

// Unwrap returns the cause.
func (e *RequestError) Unwrap() error { return e.Err }
