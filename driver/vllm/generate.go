package vllm

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"dlm"
	"dlm/internal/remote"
)

// request is the body of /v1/completions. Every sampling parameter is sent, so
// that no default of the server or the base's folder has a say.
type request struct {
	Model       string             `json:"model"`
	Prompt      []int32            `json:"prompt"`
	MaxTokens   int                `json:"max_tokens"`
	MinTokens   int                `json:"min_tokens"`
	Temperature float64            `json:"temperature"`
	TopK        int                `json:"top_k"`
	TopP        float64            `json:"top_p"`
	MinP        float64            `json:"min_p"`
	Repetition  float64            `json:"repetition_penalty"`
	Presence    float64            `json:"presence_penalty"`
	Frequency   float64            `json:"frequency_penalty"`
	Bias        map[string]float64 `json:"logit_bias,omitempty"`
	Seed        *int64             `json:"seed,omitempty"`
	Stop        []string           `json:"stop,omitempty"`
	StopIDs     []int32            `json:"stop_token_ids"`
	IgnoreEOS   bool               `json:"ignore_eos"` // the codec's stop tokens end a completion, no others
	SkipSpecial bool               `json:"skip_special_tokens"`
	AddSpecial  bool               `json:"add_special_tokens"`
	LogProbs    *int               `json:"logprobs,omitempty"`
	NameIDs     bool               `json:"return_tokens_as_token_ids,omitempty"` // alternatives are told by their ids
	PromptProbs *int               `json:"prompt_logprobs,omitempty"`
	Structured  map[string]any     `json:"structured_outputs,omitempty"`
	ReturnIDs   bool               `json:"return_token_ids"`
	Stream      bool               `json:"stream"`
}

// prepared is a request with what its answer is read with.
type prepared struct {
	body    request
	stop    []string
	stopIDs []int32 // that end it
	ends    []int32 // that add no text: those that end a turn
	top     int     // alternatives asked for
}

// Generate answers every request, as many of a call at once as Options.Parallel. A
// completion's Latency counts from the call, so it includes waiting. Sampling
// parameters mean what they mean in the native engine; a seed gives other draws
// there. Greedy answers of a batch may differ from those of a request alone where
// two tokens are about as likely: vLLM's sums depend on the batch.
//
// When a request fails, the others of its call are cancelled and the error names it.
func (e *Engine) Generate(ctx context.Context, reqs []dlm.GenerateRequest, emit func(i int, t dlm.Token)) ([]dlm.Completion, error) {
	start := time.Now()
	in := make([]prepared, len(reqs))
	for i, r := range reqs {
		var err error
		if in[i], err = e.prepare(ctx, r); err != nil {
			return nil, remote.RequestError(len(reqs), i, err)
		}
	}
	emitter := remote.NewEmitter(ctx, emit)
	out := make([]dlm.Completion, len(reqs))
	err := remote.Each(ctx, len(reqs), e.o.Parallel, func(ctx context.Context, i int) error {
		err := e.answer(ctx, reqs[i], in[i], &out[i], func(t dlm.Token) { emitter.Tell(i, t) })
		out[i].Latency = time.Since(start)
		return e.failed(ctx, err)
	})
	if cut := emitter.Close(); err == nil {
		err = cut
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// answer asks for what a request wants: the log-probabilities of its prompt,
// which vLLM does not tell in a stream, and a completion.
func (e *Engine) answer(ctx context.Context, r dlm.GenerateRequest, p prepared, out *dlm.Completion, emit func(dlm.Token)) (err error) {
	var prompt []dlm.Token
	if r.PromptLogProbs {
		if prompt, err = e.prompt(ctx, p.body.Model, p.body.Prompt, r.TopLogProbs); err != nil {
			return err
		}
	}
	if r.PromptOnly {
		*out = dlm.Completion{Finish: "length", PromptTokens: len(prompt)}
	} else if *out, err = e.complete(ctx, p, emit); err != nil {
		return err
	}
	out.Prompt = prompt
	return nil
}

// prepare checks a request and turns it into vLLM's.
func (e *Engine) prepare(ctx context.Context, r dlm.GenerateRequest) (prepared, error) {
	if err := r.Validate(); err != nil {
		return prepared{}, err
	}
	ids := r.IDs
	if len(r.Messages) > 0 || r.Raw != "" {
		var err error
		if ids, err = e.o.Codec.Prompt(r.Messages, r.Raw); err != nil {
			return prepared{}, dlm.Faultf(dlm.FaultRequest, "messages", "%w", err)
		}
	}
	room := e.context() - len(ids)
	if room < 1 {
		return prepared{}, dlm.Faultf(dlm.FaultRequest, "messages", "the prompt has %d tokens; the context of %d has no room for a completion; shorten the prompt", len(ids), e.context())
	}
	p := prepared{stop: r.Sampling.Stop, ends: e.o.Codec.StopIDs(), top: r.TopLogProbs}
	p.stopIDs = append([]int32{}, r.Sampling.StopIDs...)
	if !r.Sampling.IgnoreEOS {
		p.stopIDs = append(p.stopIDs, p.ends...)
	}
	p.body = sampled(r.Sampling)
	var err error
	if p.body.Model, err = e.modelOf(ctx, r.Adapter); err != nil {
		return prepared{}, err
	}
	p.body.Prompt, p.body.StopIDs = ids, p.stopIDs
	if p.body.MaxTokens == 0 || p.body.MaxTokens > room {
		p.body.MaxTokens = room
	}
	p.body.MinTokens = min(p.body.MinTokens, p.body.MaxTokens)
	p.body.LogProbs, p.body.NameIDs, p.body.Stream = &p.top, r.TopLogProbs > 0, true
	p.body.Structured = structured(r.Format)
	return p, nil
}

// structured writes a format in vLLM's way.
func structured(f *dlm.Format) map[string]any {
	switch {
	case f == nil:
		return nil
	case f.JSON:
		return map[string]any{"json_object": true}
	case len(f.Schema) > 0:
		return map[string]any{"json": f.Schema}
	case f.Regex != "":
		return map[string]any{"regex": f.Regex}
	}
	return map[string]any{"choice": f.Choices}
}

// sampled writes sampling parameters in vLLM's way: values that mean "off" here
// become those that mean it there.
func sampled(s dlm.Sampling) request {
	r := request{
		MaxTokens: s.MaxTokens, MinTokens: s.MinTokens, Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP,
		Repetition: s.RepetitionPenalty, Presence: s.PresencePenalty, Frequency: s.FrequencyPenalty, Stop: s.Stop, IgnoreEOS: true, ReturnIDs: true,
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
		seed := int64(remote.Seed(s) & math.MaxInt64) // vLLM's seeds are signed
		r.Seed = &seed
	}
	for id, v := range s.LogitBias {
		if r.Bias == nil {
			r.Bias = map[string]float64{}
		}
		r.Bias[strconv.Itoa(int(id))] = v
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
	r := reading{p: &p, codec: e.o.Codec, text: e.o.Codec.Spell(p.stop), emit: emit}
	if err := remote.Events(body, r.event); err != nil {
		e.cut.Store(true)
		return dlm.Completion{}, remote.Transport(ctx, "vLLM", err)
	}
	if r.out.Finish == "" {
		return dlm.Completion{}, dlm.Faultf(dlm.FaultUpstream, "", "vLLM's answer ended after %d tokens without saying why", len(r.out.Tokens))
	}
	return r.out, nil
}

// reading is a completion as far as it has come.
type reading struct {
	p     *prepared
	codec dlm.Codec
	text  dlm.TextStream
	emit  func(dlm.Token)
	out   dlm.Completion
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
		t := dlm.Token{ID: id, LogProb: min(*ch.LogProbs.Tokens[i], 0)}
		if r.p.top > 0 {
			t.Bytes = r.codec.Bytes(id)
			if t.Top, err = ch.LogProbs.alternatives(i, r.p.top, r.codec); err != nil {
				return err
			}
		}
		if r.token(t, finish); r.out.Finish != "" {
			return remote.ErrDone
		}
	}
	if ch.Finish != "" { // with no token of its own
		r.out.Finish = ch.Finish
		rest := r.text.Flush()
		if n := len(r.out.Tokens); n > 0 {
			r.out.Tokens[n-1].Text += rest
		}
		r.out.Text += rest
		return remote.ErrDone
	}
	return nil
}

// token takes the next token; finish is why vLLM ended with it, if it did.
func (r *reading) token(t dlm.Token, finish string) {
	stopped := slices.Contains(r.p.stopIDs, t.ID)
	if !stopped && !slices.Contains(r.p.ends, t.ID) {
		t.Text, stopped = r.text.Push(t.ID)
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
