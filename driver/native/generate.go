package native

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"dlm"
	"dlm/engine/infer"
	"dlm/engine/model"
	"dlm/engine/sample"
)

// Generate answers every request. Requests share steps with those of all other
// calls under way; no answer depends on its neighbours. A completion's Latency counts
// from the call to its last token, so it includes waiting for a place in the batch.
// Sampling.MaxTokens 0 means as many tokens as the context holds.
//
// The token that ends the turn is the last of a stopped completion's Tokens,
// with its log-probability; it adds no text. Draws depend on seed and position
// only, so equal requests with equal seeds get equal answers.
func (n *Native) Generate(ctx context.Context, reqs []dlm.GenerateRequest, emit func(i int, t dlm.Token)) ([]dlm.Completion, error) {
	start := time.Now()
	in := make([]infer.Request, len(reqs))
	for i, r := range reqs {
		var err error
		if in[i], err = n.request(r); err != nil {
			return nil, requestError(len(reqs), i, err)
		}
	}
	release, err := n.hold(ctx, len(reqs), func(i int) string { return reqs[i].Adapter }, func(i int, h *held) { in[i].Adapter, in[i].Key = h.a, h.key })
	if err != nil {
		return nil, err
	}
	defer release()
	out := make([]dlm.Completion, len(reqs))
	err = n.together(ctx, len(in), func(e *infer.Engine, c *call, i int) (*infer.Sequence, error) {
		return e.Add(in[i], func(t infer.Token) { c.emit(i, t) })
	}, func(e callEvent) {
		out[e.i].Latency = e.at.Sub(start)
		if emit != nil {
			emit(e.i, token(e.t))
		}
	}, func(i int, s *infer.Sequence, started time.Time) error {
		r, err := s.Result()
		if err != nil {
			return err
		}
		complete(&out[i], r)
		out[i].PromptTokens, out[i].Queued = len(in[i].IDs), started.Sub(start)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// together runs n sequences with those of other calls until they have ended, and
// hands their results to finish. Errors name the request they concern.
func (n *Native) together(ctx context.Context, count int, add func(e *infer.Engine, c *call, i int) (*infer.Sequence, error),
	each func(callEvent), finish func(i int, s *infer.Sequence, started time.Time) error,
) error {
	c := newCall(count)
	c.own = ctx.Value(ownWork{}) != nil
	e, seqs, err := n.enter(c, count, add)
	if err != nil {
		return err
	}
	if err := c.wait(ctx, each); err != nil {
		n.leave(c, e, seqs)
		return err
	}
	for i, s := range seqs {
		if err := finish(i, s, c.started[i]); err != nil {
			if errors.Is(err, infer.ErrFormat) {
				err = &dlm.Fault{Kind: dlm.FaultRequest, Param: "response_format", Err: err}
			}
			return requestError(count, i, err)
		}
	}
	return nil
}

// enter puts a call's sequences into the engine, all or none.
func (n *Native) enter(c *call, count int, add func(e *infer.Engine, c *call, i int) (*infer.Sequence, error)) (*infer.Engine, []*infer.Sequence, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, nil, errClosed
	}
	if n.o.MaxQueue > 0 && !c.own && len(n.live)+count > n.o.MaxQueue+cmp.Or(n.o.MaxSequences, infer.DefaultSequences) {
		return nil, nil, &dlm.Fault{Kind: dlm.FaultBusy, Retry: time.Second, Err: fmt.Errorf("%d requests are being answered or wait; try again later", len(n.live))}
	}
	e, err := n.infer()
	if err != nil {
		return nil, nil, err
	}
	seqs := make([]*infer.Sequence, 0, count)
	for i := range count {
		s, err := add(e, c, i)
		if err != nil {
			for _, s := range seqs {
				e.Drop(s)
			}
			return nil, nil, requestError(count, i, &dlm.Fault{Kind: dlm.FaultRequest, Err: err})
		}
		seqs = append(seqs, s)
	}
	n.start(c, seqs)
	return e, seqs, nil
}

// complete fills what the engine knows of a completion.
func complete(c *dlm.Completion, r infer.Result) {
	c.Text, c.Finish, c.Cached = r.Text, string(r.Finish), r.Cached
	c.Tokens, c.Prompt = tokens(r.Tokens), nil
	if len(r.Prompt) > 0 {
		c.Prompt = tokens(r.Prompt)
	}
}

func tokens(in []infer.Token) []dlm.Token {
	out := make([]dlm.Token, len(in))
	for i, t := range in {
		out[i] = token(t)
	}
	return out
}

func token(t infer.Token) dlm.Token {
	out := dlm.Token{ID: t.ID, Text: t.Text, LogProb: float64(t.LogProb), Bytes: t.Bytes}
	for _, a := range t.Top {
		out.Top = append(out.Top, dlm.Alternative{ID: a.ID, Bytes: a.Bytes, LogProb: float64(a.LogProb)})
	}
	return out
}

// hold gets the adapters of a call's requests, to be given back together.
func (n *Native) hold(ctx context.Context, count int, dir func(i int) string, give func(i int, h *held)) (release func(), err error) {
	var got []*held
	release = func() {
		for _, h := range got {
			n.shelf.release(h)
		}
	}
	for i := range count {
		h, err := n.adapter(ctx, dir(i), len(got) > 0)
		if err != nil {
			release()
			return nil, requestError(count, i, err)
		}
		if h != nil {
			got = append(got, h)
			give(i, h)
		}
	}
	return release, nil
}

// adapter returns the adapter in dir, to be given back to the shelf; nil for the
// base itself. holds says that the call has got one already.
func (n *Native) adapter(ctx context.Context, dir string, holds bool) (*held, error) {
	if dir == "" {
		return nil, nil
	}
	return n.shelf.use(ctx, dir, holds)
}

// request turns a request of the port into the engine's, without its adapter.
func (n *Native) request(r dlm.GenerateRequest) (infer.Request, error) {
	if err := r.Validate(); err != nil {
		return infer.Request{}, err
	}
	ids := r.IDs
	if len(r.Messages) > 0 || len(ids) == 0 {
		var err error
		if ids, err = n.Prompt(r.Messages, r.Raw); err != nil {
			return infer.Request{}, &dlm.Fault{Kind: dlm.FaultRequest, Param: "messages", Err: err}
		}
	}
	s := r.Sampling
	stopIDs := s.StopIDs
	if !s.IgnoreEOS {
		stopIDs = append(n.StopIDs(), s.StopIDs...)
	}
	out := infer.Request{
		IDs: ids, Tenant: r.Tenant, StopIDs: stopIDs, StopStrings: s.Stop, MaxTokens: s.MaxTokens, MinTokens: s.MinTokens,
		TopLogProbs: r.TopLogProbs, PromptLogProbs: r.PromptLogProbs, PromptOnly: r.PromptOnly, Draft: n.o.Draft,
		Sampling: sample.Params{
			Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP,
			RepetitionPenalty: s.RepetitionPenalty, PresencePenalty: s.PresencePenalty, FrequencyPenalty: s.FrequencyPenalty,
			Bias: sample.Biases(s.LogitBias), Seed: s.Seed, Sequence: s.Sequence,
		},
	}
	for id, b := range s.LogitBias {
		if id < 0 || int(id) >= n.m.Config().Vocab || math.IsNaN(b) || math.IsInf(b, 0) {
			return out, dlm.Faultf(dlm.FaultRequest, "logit_bias", "logit_bias %v for token %d: expected a number for an id below %d", b, id, n.m.Config().Vocab)
		}
	}
	if r.Format != nil {
		if s.IgnoreEOS {
			return out, dlm.Faultf(dlm.FaultRequest, "ignore_eos", "ignore_eos beside a format: the format says where the completion ends")
		}
		g, err := n.grammar(r.Format)
		if err != nil {
			return out, err
		}
		out.Grammar = g
	}
	return out, nil
}

// Score gives the log-probability of each token of the completions. The ids are
// those that training would see, so trained and served values can be compared
// to the last bit.
func (n *Native) Score(ctx context.Context, reqs []dlm.ScoreRequest) ([]dlm.Scored, error) {
	in := make([]infer.ScoreRequest, len(reqs))
	for i, r := range reqs {
		ids, from, err := n.Completed(r.Messages, r.Raw, r.Completion, r.EndOfTurn)
		if err != nil {
			return nil, requestError(len(reqs), i, err)
		}
		in[i] = infer.ScoreRequest{IDs: ids, From: from}
	}
	release, err := n.hold(ctx, len(reqs), func(i int) string { return reqs[i].Adapter }, func(i int, h *held) { in[i].Adapter, in[i].Key = h.a, h.key })
	if err != nil {
		return nil, err
	}
	defer release()
	scores, err := n.score(ctx, in)
	if err != nil {
		return nil, err
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

// score runs scorings with what else is under way.
func (n *Native) score(ctx context.Context, in []infer.ScoreRequest) ([][]float32, error) {
	out := make([][]float32, len(in))
	err := n.together(ctx, len(in), func(e *infer.Engine, _ *call, i int) (*infer.Sequence, error) {
		return e.AddScore(in[i])
	}, func(callEvent) {}, func(i int, s *infer.Sequence, _ time.Time) (err error) {
		out[i], err = s.Scores()
		return err
	})
	return out, err
}

// ownWork marks the context of what the engine asks itself. No queue is too long
// for it: an adapter that comes in while all places are taken must not be refused
// for that.
type ownWork struct{}

// scoreIDs gives the log-probability of every id but the first; it is ownWork.
func (n *Native) scoreIDs(ids []int32, a model.Adapter) ([]float32, error) {
	out, err := n.score(context.WithValue(context.Background(), ownWork{}, true), []infer.ScoreRequest{{IDs: ids, From: 1, Adapter: a}})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// requestError names a request where there are several.
func requestError(n, i int, err error) error {
	if n == 1 {
		return err
	}
	return fmt.Errorf("request %d of %d: %w", i+1, n, err)
}
