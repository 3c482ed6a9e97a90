package openai

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"dlm"
	"dlm/internal/remote"
)

// chunk is a piece of a streamed answer, or a whole one.
type chunk struct {
	Choices []choice        `json:"choices"`
	Usage   *usage          `json:"usage"`
	Error   json.RawMessage `json:"error"`
}

type choice struct {
	Text  string `json:"text"` // of /completions
	Delta struct {
		Content string `json:"content"`
	} `json:"delta"`
	LogProbs *logProbs `json:"logprobs"`
	Finish   string    `json:"finish_reason"`
}

type usage struct {
	Prompt  int `json:"prompt_tokens"`
	Details *struct {
		Cached int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

// logProbs are both endpoints': chat has Content, completions the other three.
type logProbs struct {
	Content []struct {
		alternative
		Top []alternative `json:"top_logprobs"`
	} `json:"content"`
	Tokens []string             `json:"tokens"`
	Values []*float64           `json:"token_logprobs"`
	Tops   []map[string]float64 `json:"top_logprobs"`
}

type alternative struct {
	Token   string  `json:"token"`
	LogProb float64 `json:"logprob"`
	Bytes   []int   `json:"bytes"`
}

// spelt is what a token spells: its bytes where the server tells them.
func (a alternative) spelt() []byte {
	if a.Bytes == nil {
		return []byte(a.Token)
	}
	b := make([]byte, len(a.Bytes))
	for i, v := range a.Bytes {
		b[i] = byte(v)
	}
	return b
}

// tokens are what is told, each with what it spells and at most top alternatives.
// Texts are not set.
func (l *logProbs) tokens(top int) (out []dlm.Token) {
	if l == nil {
		return nil
	}
	for _, c := range l.Content {
		t := dlm.Token{ID: -1, Bytes: c.spelt(), LogProb: min(c.LogProb, 0)}
		if top > 0 {
			for _, a := range c.Top {
				t.Top = append(t.Top, dlm.Alternative{ID: -1, Bytes: a.spelt(), LogProb: min(a.LogProb, 0)})
			}
		}
		out = append(out, sorted(t, top))
	}
	for i, s := range l.Tokens {
		t := dlm.Token{ID: -1, Bytes: []byte(s)}
		if i < len(l.Values) && l.Values[i] != nil {
			t.LogProb = min(*l.Values[i], 0)
		}
		if i < len(l.Tops) && top > 0 {
			for s, v := range l.Tops[i] {
				t.Top = append(t.Top, dlm.Alternative{ID: -1, Bytes: []byte(s), LogProb: min(v, 0)})
			}
		}
		out = append(out, sorted(t, top))
	}
	return out
}

// sorted puts alternatives in order, equally likely ones by what they spell.
func sorted(t dlm.Token, top int) dlm.Token {
	slices.SortFunc(t.Top, func(a, b dlm.Alternative) int {
		return cmp.Or(cmp.Compare(b.LogProb, a.LogProb), bytes.Compare(a.Bytes, b.Bytes))
	})
	t.Top = t.Top[:min(top, len(t.Top))]
	if len(t.Top) == 0 {
		t.Top = nil
	}
	return t
}

// reading is a completion as far as it has come.
type reading struct {
	who    string
	top    int  // alternatives asked for
	silent bool // the server tells no log-probabilities, and was not asked
	out    *dlm.Completion
	emit   func(dlm.Token)
}

// event takes one event of the stream.
func (r *reading) event(data []byte) error {
	var c chunk
	if err := json.Unmarshal(data, &c); err != nil {
		return dlm.Faultf(dlm.FaultUpstream, "", "%s: the stream holds %s: %w", r.who, remote.OneLine(string(data), 200), err)
	}
	if len(c.Error) > 0 && string(c.Error) != "null" {
		return r.failed(data, c.Error)
	}
	if c.Usage != nil {
		r.out.PromptTokens = max(r.out.PromptTokens, c.Usage.Prompt)
		if c.Usage.Details != nil {
			r.out.Cached = c.Usage.Details.Cached
		}
	}
	if len(c.Choices) > 1 {
		return dlm.Faultf(dlm.FaultUpstream, "", "%s: the stream holds %d choices; one was asked for", r.who, len(c.Choices))
	}
	for _, ch := range c.Choices {
		if err := r.choice(ch); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) choice(ch choice) error {
	text, tokens := strings.ToValidUTF8(ch.Delta.Content+ch.Text, "\uFFFD"), ch.LogProbs.tokens(r.top)
	switch {
	case r.out.Finish != "":
		if text == "" && len(tokens) == 0 && ch.Finish == "" {
			return nil
		}
		return dlm.Faultf(dlm.FaultUpstream, "", "%s: the stream goes on after its end", r.who)
	case len(tokens) == 0 && text != "":
		if !r.silent {
			return dlm.Faultf(dlm.FaultUnsupported, "logprobs", "%s: it was asked for log-probabilities and tells none; say so in the upstream's settings (no_logprobs)", r.who)
		}
		tokens = []dlm.Token{{ID: -1}}
	}
	spell(tokens, text)
	for _, t := range tokens {
		if r.top == 0 {
			t.Bytes = nil
		}
		r.out.Tokens = append(r.out.Tokens, t)
		r.emit(t)
	}
	r.out.Text += text
	switch ch.Finish {
	case "", "stop", "length":
		r.out.Finish = ch.Finish
		return nil
	}
	return dlm.Faultf(dlm.FaultUpstream, "", "%s: the completion ended with %q after %d tokens", r.who, ch.Finish, len(r.out.Tokens))
}

// spell gives each token of a chunk its share of the chunk's text, as far as the
// tokens spell it; the last gets the rest.
func spell(tokens []dlm.Token, text string) {
	for i := range tokens {
		s := string(tokens[i].Bytes)
		if i == len(tokens)-1 {
			s = text
		} else if s != strings.ToValidUTF8(s, "") || !strings.HasPrefix(text, s) {
			s = ""
		}
		tokens[i].Text, text = s, text[len(s):]
	}
}

// failed is an error within a stream. Its code may be an HTTP status.
func (r *reading) failed(data []byte, object json.RawMessage) error {
	var e struct {
		Code any `json:"code"`
	}
	_ = json.Unmarshal(object, &e) // without a code it is the server's
	kind := dlm.FaultUpstream
	if code, ok := e.Code.(float64); ok && code >= 400 && code < 600 {
		kind = remote.Status(int(code))
	}
	why, param := remote.Reason(data, "an error in the stream")
	return dlm.Faultf(kind, param, "%s: after %d tokens: %s", r.who, len(r.out.Tokens), why)
}
