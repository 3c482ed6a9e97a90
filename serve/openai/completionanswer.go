package openai

import "dlm"

// CompletionAnswer is the body of an answer to a [CompletionRequest], and of each event of a streamed one.
type CompletionAnswer struct {
	Head
	Choices []CompletionChoice `json:"choices"`
	Usage   *Usage             `json:"usage,omitempty"`
}

// CompletionChoice is one completion, or a part of it.
type CompletionChoice struct {
	Index    int       `json:"index"`
	Text     string    `json:"text"`
	LogProbs *LogProbs `json:"logprobs"`
	Finish   *string   `json:"finish_reason"`
	Prompt   []any     `json:"prompt_logprobs,omitempty"` // vLLM's, when asked for
}

// LogProbs holds what is known of tokens, one entry each.
type LogProbs struct {
	Tokens  []string              `json:"tokens"`
	Values  []*float64            `json:"token_logprobs"` // null for a first token: nothing stands before it
	Top     []map[string]*float64 `json:"top_logprobs"`   // likewise
	Offsets []int                 `json:"text_offset"`    // characters of the text before the token
}

// Echo is what stands before a completion's own tokens when the prompt is to be
// part of the answer.
type Echo struct {
	Text   string
	Tokens []dlm.Token // with log-probabilities, when they were asked for
}

// Answer makes the body from what the generator answered; echoed[i] is the prompt of completion i.
func (r *CompletionRequest) Answer(h Head, all []dlm.Completion, echoed []Echo) CompletionAnswer {
	h.Object = ObjectCompletion
	u := UsageOf(all, r.Choices())
	a := CompletionAnswer{Head: h, Usage: &u, Choices: make([]CompletionChoice, len(all))}
	for i, c := range all {
		ch := CompletionChoice{Index: i, Text: c.Text, Finish: filled(c.Finish)}
		before := 0 // characters
		tokens := c.Tokens
		if r.Echo {
			ch.Text = echoed[i].Text + c.Text
			tokens = append(append([]dlm.Token(nil), c.Prompt...), c.Tokens...)
		}
		ch.LogProbs = r.Probabilities(tokens, r.Echo, &before)
		if r.Prompted != nil {
			ch.Prompt = promptLogProbs(c.Prompt, *r.Prompted)
		}
		a.Choices[i] = ch
	}
	return a
}

// Probabilities is what an answer says of its tokens; nil when nothing was asked.
// first says that the first of them has nothing before it. The count of
// characters goes on from before.
func (r *CompletionRequest) Probabilities(tokens []dlm.Token, first bool, before *int) *LogProbs {
	if r.LogProbs == nil {
		return nil
	}
	n := len(tokens)
	l := &LogProbs{Tokens: make([]string, n), Values: make([]*float64, n), Top: make([]map[string]*float64, n), Offsets: make([]int, n)}
	for i, t := range tokens {
		b := spelled(t)
		l.Tokens[i], l.Offsets[i] = legacyPiece(b), *before
		*before += characters(b)
		if i == 0 && first {
			continue
		}
		v := finite(t.LogProb)
		l.Values[i] = &v
		top := map[string]*float64{}
		for _, a := range t.Top[:min(len(t.Top), *r.LogProbs)] {
			p := finite(a.LogProb)
			name := legacyPiece(a.Bytes)
			if _, taken := top[name]; !taken { // two ids of one text: the likelier stands for both
				top[name] = &p
			}
		}
		if _, listed := top[l.Tokens[i]]; !listed {
			top[l.Tokens[i]] = &v
		}
		l.Top[i] = top
	}
	return l
}

// Next is the event of text and tokens that choice i goes on with.
func (r *CompletionRequest) Next(h Head, i int, text string, l *LogProbs) CompletionAnswer {
	return r.chunk(h, CompletionChoice{Index: i, Text: text, LogProbs: l})
}

// Last is the event that ends choice i.
func (r *CompletionRequest) Last(h Head, i int, finish string) CompletionAnswer {
	return r.chunk(h, CompletionChoice{Index: i, Finish: &finish})
}

// Used is the event that ends a stream whose usage was asked for.
func (r *CompletionRequest) Used(h Head, u Usage) CompletionAnswer {
	h.Object = ObjectCompletion
	return CompletionAnswer{Head: h, Choices: []CompletionChoice{}, Usage: &u}
}

func (r *CompletionRequest) chunk(h Head, c CompletionChoice) CompletionAnswer {
	h.Object = ObjectCompletion
	return CompletionAnswer{Head: h, Choices: []CompletionChoice{c}}
}
