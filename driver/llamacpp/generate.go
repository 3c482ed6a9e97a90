package llamacpp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dlm"
	"dlm/internal/remote"
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
	Schema      any      `json:"json_schema,omitempty"`
	Grammar     string   `json:"grammar,omitempty"`
	LoRA        []scale  `json:"lora,omitempty"`
}

// scale says how far an adapter of the server's takes part.
type scale struct {
	ID    int     `json:"id"`
	Scale float64 `json:"scale"`
}

// Generate answers every request, Options.Parallel of a call at once. A completion's
// Latency counts from the call, so it includes waiting. Sampling parameters mean what
// they mean in the native engine; a seed gives other draws there, and only its low 32
// bits count. Greedy answers of a batch may differ from those of a request alone
// where two tokens are about as likely: llama.cpp's sums depend on the batch. Of a
// JSON schema it enforces what it knows.
func (e *Engine) Generate(ctx context.Context, reqs []dlm.GenerateRequest, emit func(i int, t dlm.Token)) ([]dlm.Completion, error) {
	start := time.Now()
	in := make([]request, len(reqs))
	for i, r := range reqs {
		var err error
		if in[i], err = e.prepare(r); err != nil {
			return nil, remote.RequestError(len(reqs), i, err)
		}
	}
	emitter := remote.NewEmitter(ctx, emit)
	out := make([]dlm.Completion, len(reqs))
	err := e.each(ctx, len(reqs), func(ctx context.Context, i int) error {
		r := reading{
			codec: e.o.Codec, max: in[i].MaxTokens, top: reqs[i].TopLogProbs, formed: reqs[i].Format != nil,
			stopIDs: append(e.o.Codec.StopIDs(), reqs[i].Sampling.StopIDs...), text: e.o.Codec.Spell(reqs[i].Sampling.Stop),
			emit: func(t dlm.Token) { emitter.Tell(i, t) },
		}
		r.out.PromptTokens = len(in[i].Prompt)
		err := e.stream(ctx, in[i], r.event)
		if errors.Is(err, errGap) {
			err = e.whole(ctx, in[i], &r)
		}
		r.out.Latency = time.Since(start)
		out[i] = r.out
		return err
	})
	if cut := emitter.Close(); err == nil {
		err = cut
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// refuse names what llama.cpp cannot be asked.
func refuse(r *dlm.GenerateRequest) error {
	const prompt = "llama.cpp counts the prompt's tokens too, and the completion's alone are meant"
	s := &r.Sampling
	for _, f := range []struct {
		param string
		asked bool
		why   string
	}{
		{"presence_penalty", s.PresencePenalty != 0, prompt},
		{"frequency_penalty", s.FrequencyPenalty != 0, prompt},
		{"min_tokens", s.MinTokens > 0, "llama.cpp has no such parameter"},
		{"ignore_eos", s.IgnoreEOS, "llama.cpp bans the tokens that end a turn instead, which gives other answers"},
		{"prompt_logprobs", r.PromptLogProbs, "llama.cpp tells none"},
		{"guided_regex", r.Format != nil && r.Format.Regex != "", "llama.cpp has grammars, no expressions"},
	} {
		if f.asked {
			return remote.Unsupported("llama.cpp", f.param, "%s", f.why)
		}
	}
	return nil
}

// prepare checks a request and turns it into llama.cpp's: values that mean "off"
// here become those that mean it there. The samplers stand in the native engine's
// order.
func (e *Engine) prepare(r dlm.GenerateRequest) (request, error) {
	if err := r.Validate(); err != nil {
		return request{}, err
	}
	if err := refuse(&r); err != nil {
		return request{}, err
	}
	lora, err := e.lora(r.Adapter)
	if err != nil {
		return request{}, err
	}
	ids, room, err := e.prompt(r.Messages, r.Raw, r.IDs)
	if err != nil {
		return request{}, err
	}
	s := r.Sampling
	q := request{
		Prompt: ids, MaxTokens: s.MaxTokens, Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP,
		Repetition: s.RepetitionPenalty, Last: e.o.Context, Seed: uint32(remote.Seed(s)), Samplers: []string{"penalties", "temperature", "top_k", "top_p", "min_p"},
		Probs: max(1, r.TopLogProbs), ReturnIDs: true, Stream: true, LoRA: lora,
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
	for id, v := range s.LogitBias {
		q.Bias = append(q.Bias, [2]any{id, v})
	}
	q.form(r.Format)
	return q, nil
}

// form says what the completion must be.
func (q *request) form(f *dlm.Format) {
	switch {
	case f == nil:
	case f.JSON:
		q.Schema = map[string]any{"type": "object"}
	case len(f.Schema) > 0:
		q.Schema = f.Schema
	default:
		q.Grammar = choices(f.Choices)
	}
}

// choices writes a grammar in llama.cpp's notation.
// https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
func choices(texts []string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)
	var b strings.Builder
	b.WriteString("root ::= ")
	for i, t := range texts {
		if i > 0 {
			b.WriteString(" | ")
		}
		b.WriteString(`"` + escape.Replace(t) + `"`)
	}
	return b.String()
}

// prompt returns a prompt's ids, and how many tokens have room behind them.
func (e *Engine) prompt(msgs []dlm.Message, raw string, given []int32) (ids []int32, room int, err error) {
	if ids = given; len(msgs) > 0 || raw != "" {
		if ids, err = e.o.Codec.Prompt(msgs, raw); err != nil {
			return nil, 0, dlm.Faultf(dlm.FaultRequest, "messages", "%w", err)
		}
	}
	if len(ids) == 0 {
		return nil, 0, dlm.Faultf(dlm.FaultRequest, "messages", "the prompt has no tokens; llama.cpp needs one to go on from")
	}
	if room = e.o.Context - len(ids); room < 1 {
		return nil, 0, dlm.Faultf(dlm.FaultRequest, "messages", "the prompt has %d tokens; the context of %d has no room for a completion; shorten the prompt", len(ids), e.o.Context)
	}
	return ids, room, nil
}

// reading is a completion as far as it has come.
type reading struct {
	codec   dlm.Codec
	max     int
	top     int  // alternatives asked for
	formed  bool // a grammar says where it ends
	stopIDs []int32
	text    dlm.TextStream
	emit    func(dlm.Token)
	out     dlm.Completion
}

// event takes one event of the stream; remote.ErrDone ends it.
func (r *reading) event(c chunk) error {
	if len(r.out.Tokens)+len(c.Tokens) < c.Made {
		return errGap
	}
	for i, id := range c.Tokens {
		if i >= len(c.Probs) || c.Probs[i].ID != id {
			return fmt.Errorf("llama-server gave token %d no log-probability; expected a version of 2025 or later", id)
		}
		t := dlm.Token{ID: id, LogProb: min(c.Probs[i].LogProb, 0)}
		if r.top > 0 {
			t.Bytes, t.Top = r.codec.Bytes(id), c.Probs[i].alternatives(r.codec, r.top)
		}
		// What ends a text by a grammar may be another token than the codec's.
		stopped := slices.Contains(r.stopIDs, id) || r.formed && c.Probs[i].Bytes != nil && len(c.Probs[i].Bytes) == 0
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
			return remote.ErrDone
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
	return remote.ErrDone
}

// each calls f for 0..n-1, Options.Parallel at once, until one fails.
func (e *Engine) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	return remote.Each(ctx, n, e.o.Parallel, func(ctx context.Context, i int) error {
		err := f(ctx, i)
		if err != nil && e.server != nil {
			err = e.server.Because(err)
		}
		return remote.Transport(ctx, "llama-server", err)
	})
}
