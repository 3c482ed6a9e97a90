package serve

import (
	"dlm"
	"dlm/serve/openai"
)

// completions answers /v1/completions.
func completions(x *exchange) error {
	b, err := x.body()
	if err != nil {
		return err
	}
	r, err := openai.DecodeCompletion(b)
	if err != nil {
		return err
	}
	x.call.Stream = r.Stream
	if x.s.o.Text && len(r.Prompt) > 0 {
		x.call.Prompt = r.Prompt[0].Text
	}
	reqs, err := r.Generate()
	if err != nil {
		return err
	}
	if err := x.route(r.Model, r.User); err != nil {
		return err
	}
	echo, err := x.echoes(r)
	if err != nil {
		return err
	}
	return x.perform(job{
		shared: &r.Sampled, reqs: reqs, explicit: r.Explicit,
		answer: func(h openai.Head, all []dlm.Completion) (any, error) {
			all = onlyPrompts(reqs, all)
			x.account(all, r.Choices())
			for i := range echo {
				echo[i].Tokens = all[i].Prompt
			}
			return r.Answer(h, all, echo), nil
		},
		wire: &completionWire{r: r, echo: echo, before: make([]int, len(reqs))},
	})
}

// onlyPrompts takes away what was generated where nothing was to be.
func onlyPrompts(reqs []dlm.GenerateRequest, all []dlm.Completion) []dlm.Completion {
	for i := range all {
		if reqs[i].PromptOnly {
			all[i].Text, all[i].Tokens, all[i].Finish = "", nil, "length"
		}
	}
	return all
}

// echoes are the prompts as text, one for each choice, when the answer is to hold them.
func (x *exchange) echoes(r *openai.CompletionRequest) ([]openai.Echo, error) {
	if !r.Echo {
		return nil, nil
	}
	if r.Stream && r.LogProbs != nil {
		return nil, dlm.Faultf(dlm.FaultUnsupported, "echo", "echo with logprobs is not supported in a stream; leave out stream")
	}
	var out []openai.Echo
	for _, p := range r.Prompt {
		text := p.Text
		if p.IDs != nil {
			var err error
			if text, err = x.spell(p.IDs, "prompt"); err != nil {
				return nil, err
			}
		}
		for range r.Choices() {
			out = append(out, openai.Echo{Text: text})
		}
	}
	return out, nil
}

// spell is the text of token ids.
func (x *exchange) spell(ids []int32, param string) (string, error) {
	c := x.target.Codec
	if c == nil {
		return "", dlm.Faultf(dlm.FaultUnsupported, param, "the engine of %s sees text alone; send text instead of token ids", x.target.Name)
	}
	var b []byte
	text := c.Spell(nil)
	for _, id := range ids {
		if id < 0 || c.Piece(id) == "" {
			return "", dlm.Faultf(dlm.FaultRequest, param, "%d is no token id of %s", id, x.target.Name)
		}
		s, _ := text.Push(id)
		b = append(b, s...)
	}
	return string(b) + text.Flush(), nil
}

// completionWire writes the events of a streamed answer.
type completionWire struct {
	r      *openai.CompletionRequest
	echo   []openai.Echo
	before []int // characters that the choice's text has by now
}

func (c *completionWire) first(h openai.Head, i int) any {
	if c.echo == nil {
		return nil
	}
	return c.r.Next(h, i, c.echo[i].Text, nil)
}

func (c *completionWire) next(h openai.Head, i int, text string, t []dlm.Token) any {
	return c.r.Next(h, i, text, c.r.Probabilities(t, false, &c.before[i]))
}

func (c *completionWire) last(h openai.Head, i int, finish string) any {
	return c.r.Last(h, i, finish)
}
func (c *completionWire) used(h openai.Head, u openai.Usage) any { return c.r.Used(h, u) }
func (c *completionWire) silent(t dlm.Token) bool                { return t.Text == "" && c.r.LogProbs == nil }
