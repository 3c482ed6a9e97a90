package llamacpp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"dlm"
)

// request is the body of /completion. Every sampling parameter is sent, so that no
// default of the server has a say.
type request struct {
	Prompt      []int32  `json:"prompt"`
	MaxTokens   int      `json:"n_predict"`
	Temperature float64  `json:"temperature"`
	TopK        int      `json:"top_k"`
	TopP        float64  `json:"top_p"`
	MinP        float64  `json:"min_p"`
	Repetition  float64  `json:"repeat_penalty"`
	Last        int      `json:"repeat_last_n"`
	Seed        uint32   `json:"seed"`
	Samplers    []string `json:"samplers"`
	Probs       int      `json:"n_probs"`
	ReturnIDs   bool     `json:"return_tokens"`
	Stream      bool     `json:"stream"`
	Cache       bool     `json:"cache_prompt"`
	Bias        [][2]any `json:"logit_bias,omitempty"`
}

// Generate answers every request, Options.Parallel at once. A completion's Latency
// counts from the call, so it includes waiting. Sampling parameters mean what they
// mean in the native engine; a seed gives other draws there, and only its low 32
// bits count. Greedy answers of a batch may differ from those of a request alone
// where two tokens are about as likely: llama.cpp's sums depend on the batch.
//
// The model is the file's: a request that names an adapter is refused.
func (e *Engine) Generate(ctx context.Context, reqs []dlm.GenerateRequest, emit func(i int, t dlm.Token)) ([]dlm.Completion, error) {
	start := time.Now()
	in := make([]request, len(reqs))
	for i, r := range reqs {
		var err error
		if in[i], err = e.prepare(r); err != nil {
			return nil, requestError(len(reqs), i, err)
		}
	}
	var emitting sync.Mutex
	out := make([]dlm.Completion, len(reqs))
	err := e.each(ctx, len(reqs), func(ctx context.Context, i int) error {
		r := reading{e: e, max: in[i].MaxTokens, text: e.o.Codec.Spell(reqs[i].Sampling.Stop), emit: func(t dlm.Token) {
			emitting.Lock()
			defer emitting.Unlock()
			if emit != nil && ctx.Err() == nil {
				emit(i, t)
			}
		}}
		r.out.PromptTokens = len(in[i].Prompt)
		err := e.stream(ctx, in[i], r.event)
		r.out.Latency = time.Since(start)
		out[i] = r.out
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// prepare checks a request and turns it into llama.cpp's: values that mean "off"
// here become those that mean it there. The samplers stand in the native engine's
// order.
func (e *Engine) prepare(r dlm.GenerateRequest) (request, error) {
	s := r.Sampling
	if err := s.Validate(); err != nil {
		return request{}, err
	}
	if r.Adapter != "" {
		return request{}, adapterError(r.Adapter)
	}
	ids, room, err := e.prompt(r.Messages, r.Raw)
	if err != nil {
		return request{}, err
	}
	q := request{
		Prompt: ids, MaxTokens: s.MaxTokens, Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP,
		Repetition: s.RepetitionPenalty, Last: e.o.Context, Seed: uint32(s.Seed), Samplers: []string{"penalties", "temperature", "top_k", "top_p", "min_p"},
		Probs: 1, ReturnIDs: true, Stream: true,
	}
	if q.MaxTokens == 0 || q.MaxTokens > room {
		q.MaxTokens = room
	}
	if q.TopP == 0 {
		q.TopP = 1
	}
	if q.Repetition == 0 {
		q.Repetition = 1
	}
	return q, nil
}

// prompt returns a prompt's ids, and how many tokens have room behind them.
func (e *Engine) prompt(msgs []dlm.Message, raw string) (ids []int32, room int, err error) {
	if ids, err = e.o.Codec.Prompt(msgs, raw); err != nil {
		return nil, 0, err
	}
	if len(ids) == 0 {
		return nil, 0, errors.New("the prompt has no tokens; llama.cpp needs one to go on from")
	}
	if room = e.o.Context - len(ids); room < 1 {
		return nil, 0, fmt.Errorf("the prompt has %d tokens; the context of %d has no room for a completion; shorten the prompt", len(ids), e.o.Context)
	}
	return ids, room, nil
}

func adapterError(name string) error {
	return fmt.Errorf("adapter %s: llama.cpp serves the file that it was started with, base and adapter in one", name)
}

// reading is a completion as far as it has come.
type reading struct {
	e    *Engine
	max  int
	text dlm.TextStream
	emit func(dlm.Token)
	out  dlm.Completion
}

// event takes one event of the stream; errDone ends it.
func (r *reading) event(c chunk) error {
	for i, id := range c.Tokens {
		if i >= len(c.Probs) || c.Probs[i].ID != id {
			return fmt.Errorf("llama-server gave token %d no log-probability; expected a version of 2025 or later", id)
		}
		t := dlm.Token{ID: id, LogProb: min(c.Probs[i].LogProb, 0)}
		stopped := slices.Contains(r.e.o.Codec.StopIDs(), id)
		if !stopped {
			t.Text, stopped = r.text.Push(id)
		}
		switch {
		case stopped:
			r.out.Finish = "stop"
		case len(r.out.Tokens)+1 == r.max:
			r.out.Finish = "length"
		}
		if r.out.Finish != "" {
			t.Text += r.text.Flush()
		}
		r.out.Tokens, r.out.Text = append(r.out.Tokens, t), r.out.Text+t.Text
		r.emit(t)
		if r.out.Finish != "" {
			return errDone
		}
	}
	if !c.Stop {
		return nil
	}
	// The server ended it: at an id that ends a text by the file's own metadata alone.
	if c.StopType != "eos" {
		return fmt.Errorf("llama-server ended the completion after %d tokens (%s)", len(r.out.Tokens), c.StopType)
	}
	r.out.Finish = "stop"
	r.out.Text += r.text.Flush()
	return errDone
}

// each calls f for 0..n-1, Options.Parallel at once, until one fails.
func (e *Engine) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	var first error
	var once sync.Once
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(n, e.o.Parallel) {
		workers.Go(func() {
			for i := range next {
				if err := f(run, i); err != nil {
					once.Do(func() { first = requestError(n, i, e.server.Because(err)) })
					cancel()
				}
			}
		})
	}
	for i := 0; i < n && run.Err() == nil; i++ {
		select {
		case next <- i:
		case <-run.Done():
		}
	}
	close(next)
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	return first
}

// requestError names a request where there are several.
func requestError(n, i int, err error) error {
	if n == 1 {
		return err
	}
	return fmt.Errorf("request %d of %d: %w", i+1, n, err)
}
