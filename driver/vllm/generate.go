package vllm

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"dlm"
)

// request is the body of /v1/completions. Every sampling parameter is sent, so
// that no default of the server or the base's folder has a say.
type request struct {
	Model       string   `json:"model"`
	Prompt      []int32  `json:"prompt"`
	MaxTokens   int      `json:"max_tokens"`
	Temperature float64  `json:"temperature"`
	TopK        int      `json:"top_k"`
	TopP        float64  `json:"top_p"`
	MinP        float64  `json:"min_p"`
	Repetition  float64  `json:"repetition_penalty"`
	Presence    float64  `json:"presence_penalty"`
	Frequency   float64  `json:"frequency_penalty"`
	Seed        *int64   `json:"seed,omitempty"`
	Stop        []string `json:"stop,omitempty"`
	StopIDs     []int32  `json:"stop_token_ids"`
	IgnoreEOS   bool     `json:"ignore_eos"` // the codec's stop tokens end a completion, no others
	SkipSpecial bool     `json:"skip_special_tokens"`
	AddSpecial  bool     `json:"add_special_tokens"`
	LogProbs    *int     `json:"logprobs,omitempty"`
	PromptProbs *int     `json:"prompt_logprobs,omitempty"`
	ReturnIDs   bool     `json:"return_token_ids"`
	Stream      bool     `json:"stream"`
}

// prepared is a request with what its answer is read with.
type prepared struct {
	body    request
	stop    []string
	stopIDs []int32
}

// Generate answers every request, as many at once as Options.Parallel. A
// completion's Latency counts from the call, so it includes waiting. Sampling
// parameters mean what they mean in the native engine; a seed gives other draws
// there. Greedy answers of a batch may differ from those of a request alone where
// two tokens are about as likely: vLLM's sums depend on the batch.
//
// When a request fails, the others are cancelled and the error names it.
func (e *Engine) Generate(ctx context.Context, reqs []dlm.GenerateRequest, emit func(i int, t dlm.Token)) ([]dlm.Completion, error) {
	start := time.Now()
	in := make([]prepared, len(reqs))
	for i, r := range reqs {
		var err error
		if in[i], err = e.prepare(ctx, r); err != nil {
			return nil, requestError(len(reqs), i, err)
		}
	}
	var emitting sync.Mutex
	out := make([]dlm.Completion, len(reqs))
	err := e.each(ctx, len(reqs), func(ctx context.Context, i int) error {
		var tell func(dlm.Token)
		if emit != nil {
			tell = func(t dlm.Token) {
				emitting.Lock()
				defer emitting.Unlock()
				if ctx.Err() == nil {
					emit(i, t)
				}
			}
		}
		var err error
		out[i], err = e.complete(ctx, in[i], tell)
		out[i].Latency = time.Since(start)
		return e.failed(ctx, err)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// each calls f for 0..n-1, Options.Parallel at once, until one fails.
func (e *Engine) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var first error
	slots := make(chan struct{}, e.o.Parallel)
	var wg sync.WaitGroup
	for i := range n {
		select {
		case slots <- struct{}{}:
		case <-run.Done():
		}
		if run.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := f(run, i); err != nil {
				mu.Lock()
				if first == nil && (run.Err() == nil || ctx.Err() != nil) {
					first = requestError(n, i, err)
				}
				mu.Unlock()
				cancel()
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	return first
}

// prepare checks a request and turns it into vLLM's.
func (e *Engine) prepare(ctx context.Context, r dlm.GenerateRequest) (prepared, error) {
	if err := r.Sampling.Validate(); err != nil {
		return prepared{}, err
	}
	ids, err := e.o.Codec.Prompt(r.Messages, r.Raw)
	if err != nil {
		return prepared{}, err
	}
	room := e.context() - len(ids)
	if room < 1 {
		return prepared{}, fmt.Errorf("the prompt has %d tokens; the context of %d has no room for a completion; shorten the prompt", len(ids), e.context())
	}
	p := prepared{stop: r.Sampling.Stop, stopIDs: e.o.Codec.StopIDs()}
	p.body = sampled(r.Sampling)
	if p.body.Model, err = e.modelOf(ctx, r.Adapter); err != nil {
		return prepared{}, err
	}
	p.body.Prompt, p.body.StopIDs = ids, p.stopIDs
	if p.body.MaxTokens == 0 || p.body.MaxTokens > room {
		p.body.MaxTokens = room
	}
	p.body.LogProbs, p.body.Stream = new(int), true
	return p, nil
}

// sampled writes sampling parameters in vLLM's way: values that mean "off" here
// become those that mean it there.
func sampled(s dlm.Sampling) request {
	r := request{
		MaxTokens: s.MaxTokens, Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP,
		Repetition: s.RepetitionPenalty, Stop: s.Stop, IgnoreEOS: true, ReturnIDs: true,
	}
	if r.TopK == 0 {
		r.TopK = -1
	}
	if r.TopP == 0 {
		r.TopP = 1
	}
	if r.Repetition == 0 {
		r.Repetition = 1
	}
	if s.Temperature > 0 {
		seed := int64(s.Seed & math.MaxInt64) // vLLM's seeds are signed
		r.Seed = &seed
	}
	return r
}

// complete streams one completion.
func (e *Engine) complete(ctx context.Context, p prepared, emit func(dlm.Token)) (dlm.Completion, error) {
	e.turn.RLock()
	defer e.turn.RUnlock()
	body, err := e.do(ctx, "POST", "/v1/completions", p.body)
	if err != nil {
		return dlm.Completion{}, err
	}
	defer body.Close()
	r := reading{p: &p, text: e.o.Codec.Spell(p.stop), emit: emit}
	if err := readEvents(body, r.event); err != nil {
		e.cut.Store(true)
		return dlm.Completion{}, err
	}
	if r.out.Finish == "" {
		return dlm.Completion{}, fmt.Errorf("vLLM's answer ended after %d tokens without saying why", len(r.out.Tokens))
	}
	return r.out, nil
}

// reading is a completion as far as it has come.
type reading struct {
	p    *prepared
	text dlm.TextStream
	emit func(dlm.Token)
	out  dlm.Completion
}

// event takes one event of the stream.
func (r *reading) event(data []byte) error {
	c, err := parseChunk(data)
	if err != nil {
		return err
	}
	if len(c.Choices) == 0 {
		return nil // usage
	}
	ch := c.Choices[0]
	if r.out.PromptTokens == 0 {
		if !slices.Equal(ch.PromptIDs, r.p.body.Prompt) {
			return fmt.Errorf("vLLM saw another prompt than it was sent: %d token ids instead of %d, or others; is something between it and dlm, or is it older than 0.10.2?", len(ch.PromptIDs), len(r.p.body.Prompt))
		}
		r.out.PromptTokens = len(ch.PromptIDs)
	}
	switch ch.Finish {
	case "", "stop", "length":
	default:
		return fmt.Errorf("vLLM ended the completion with %q after %d tokens", ch.Finish, len(r.out.Tokens)+len(ch.TokenIDs))
	}
	for i, id := range ch.TokenIDs {
		if ch.LogProbs.Tokens[i] == nil {
			return fmt.Errorf("vLLM gave token %d no log-probability", id)
		}
		finish := ""
		if i == len(ch.TokenIDs)-1 {
			finish = ch.Finish
		}
		if r.token(id, *ch.LogProbs.Tokens[i], finish); r.out.Finish != "" {
			return errDone
		}
	}
	if ch.Finish != "" { // with no token of its own
		r.out.Finish = ch.Finish
		rest := r.text.Flush()
		if n := len(r.out.Tokens); n > 0 {
			r.out.Tokens[n-1].Text += rest
		}
		r.out.Text += rest
		return errDone
	}
	return nil
}

// token takes the next token; finish is why vLLM ended with it, if it did.
func (r *reading) token(id int32, logp float64, finish string) {
	t := dlm.Token{ID: id, LogProb: min(logp, 0)}
	stopped := slices.Contains(r.p.stopIDs, id)
	if !stopped {
		t.Text, stopped = r.text.Push(id)
	}
	if stopped {
		finish = "stop"
	}
	if finish != "" {
		t.Text += r.text.Flush()
		r.out.Finish = finish
	}
	r.out.Text += t.Text
	r.out.Tokens = append(r.out.Tokens, t)
	if r.emit != nil {
		r.emit(t)
	}
}
