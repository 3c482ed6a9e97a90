package openai

import (
	"context"
	"net/http"
	"time"

	"dlm"
	"dlm/internal/remote"
)

// Generate answers every request, Options.Parallel at once. A completion's
// Latency counts from the call. Seeds give other draws than in the native engine,
// and the server decides how far answers depend on what else it does.
//
// A Token is what the server says of one, with the id -1; where it tells no
// log-probabilities, a piece of text as it came, with the log-probability 0.
func (e *Engine) Generate(ctx context.Context, reqs []dlm.GenerateRequest, emit func(i int, t dlm.Token)) ([]dlm.Completion, error) {
	start := time.Now()
	in := make([]*request, len(reqs))
	for i, r := range reqs {
		var err error
		if in[i], err = e.prepare(ctx, r); err != nil {
			return nil, remote.RequestError(len(reqs), i, err)
		}
	}
	out := make([]dlm.Completion, len(reqs))
	emitter := remote.NewEmitter(ctx, emit)
	err := remote.Each(ctx, len(reqs), e.o.Parallel, func(ctx context.Context, i int) error {
		if reqs[i].PromptLogProbs {
			if err := e.echo(ctx, in[i], &out[i], reqs[i].TopLogProbs); err != nil {
				return err
			}
		}
		if reqs[i].PromptOnly {
			out[i].Finish = "length"
		} else if err := e.stream(ctx, in[i], &out[i], reqs[i].TopLogProbs, func(t dlm.Token) { emitter.Tell(i, t) }); err != nil {
			return err
		}
		out[i].Latency = time.Since(start)
		return nil
	})
	if cut := emitter.Close(); err == nil {
		err = cut
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// stream reads one completion into out.
func (e *Engine) stream(ctx context.Context, q *request, out *dlm.Completion, top int, emit func(dlm.Token)) error {
	body, err := e.do(ctx, http.MethodPost, q.path(), q)
	if err != nil {
		return err
	}
	defer body.Close()
	r := reading{who: e.o.Name, top: top, out: out, emit: emit, silent: e.o.NoLogProbs}
	if err := remote.Events(body, r.event); err != nil {
		return remote.Transport(ctx, e.o.Name, err)
	}
	if out.Finish == "" {
		return dlm.Faultf(dlm.FaultUpstream, "", "%s: the answer ended after %d tokens without saying why", e.o.Name, len(out.Tokens))
	}
	return nil
}

// echo asks for the log-probabilities of a prompt: the legacy endpoint tells
// them of a prompt that it repeats.
func (e *Engine) echo(ctx context.Context, q *request, out *dlm.Completion, top int) error {
	r := *q
	none := 0
	r.Echo, r.MaxTokens, r.Stream, r.StreamOptions, r.MinTokens = true, &none, false, nil, 0
	var c chunk
	if err := e.call(ctx, http.MethodPost, r.path(), &r, &c); err != nil {
		return err
	}
	if len(c.Choices) != 1 || c.Usage == nil || c.Choices[0].LogProbs == nil {
		return dlm.Faultf(dlm.FaultUnsupported, "prompt_logprobs", "%s: it repeats no prompt with its log-probabilities", e.o.Name)
	}
	out.Prompt = c.Choices[0].LogProbs.tokens(top)
	out.PromptTokens = c.Usage.Prompt
	if len(out.Prompt) < out.PromptTokens {
		return dlm.Faultf(dlm.FaultUnsupported, "prompt_logprobs", "%s: it repeats %d tokens of a prompt of %d", e.o.Name, len(out.Prompt), out.PromptTokens)
	}
	out.Prompt = out.Prompt[:out.PromptTokens] // some servers generate one in spite of max_tokens 0
	return nil
}
