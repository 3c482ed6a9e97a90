package serve

import (
	"strings"

	"dlm"
	"dlm/serve/openai"
)

// chat answers /v1/chat/completions.
func chat(x *exchange) error {
	b, err := x.body()
	if err != nil {
		return err
	}
	r, err := openai.DecodeChat(b)
	if err != nil {
		return err
	}
	x.call.Stream = r.Stream
	if x.s.o.Text {
		x.call.Prompt = transcript(r.Messages)
	}
	if r.Model == "" {
		_, err := r.Generate("")
		return err
	}
	if err := x.route(r.Model, r.User); err != nil {
		return err
	}
	reqs, err := r.Generate(x.target.System)
	if err != nil {
		return err
	}
	return x.perform(job{
		shared: &r.Sampled, reqs: reqs, explicit: r.MaxToken != nil,
		answer: func(h openai.Head, all []dlm.Completion) (any, error) {
			x.account(all, len(all))
			return r.Answer(h, all), nil
		},
		wire: chatWire{r},
	})
}

func transcript(msgs []openai.Message) string {
	var b strings.Builder
	for _, m := range msgs {
		b.WriteString(m.Role + ": " + m.Content + "\n")
	}
	return b.String()
}

// chatWire writes the events of a streamed answer.
type chatWire struct{ r *openai.ChatRequest }

func (c chatWire) first(h openai.Head, i int) any { return c.r.First(h, i) }
func (c chatWire) next(h openai.Head, i int, text string, t []dlm.Token) any {
	return c.r.Next(h, i, text, t)
}
func (c chatWire) last(h openai.Head, i int, finish string) any { return c.r.Last(h, i, finish) }
func (c chatWire) used(h openai.Head, u openai.Usage) any       { return c.r.Used(h, u) }
func (c chatWire) silent(t dlm.Token) bool                      { return t.Text == "" && !c.r.LogProbs }
