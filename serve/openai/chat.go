package openai

import (
	"encoding/json"
	"strings"

	"dlm"
)

// ChatRequest is the body of /v1/chat/completions.
type ChatRequest struct {
	Sampled
	Messages  []Message `json:"messages"`
	MaxAnswer *int      `json:"max_completion_tokens"` // the newer name of max_tokens
	LogProbs  bool      `json:"logprobs"`
	Top       *int      `json:"top_logprobs"`
}

var chatFields = generating.with(
	[]string{"messages", "max_completion_tokens", "logprobs", "top_logprobs"},
	[]string{"prediction"}, // guesses that speed an answer up
	map[string][]string{
		"add_special_tokens":  {"false"},
		"audio":               {},
		"echo":                {"false"},
		"function_call":       {`"none"`},
		"functions":           {"[]"},
		"modalities":          {`["text"]`},
		"parallel_tool_calls": {"true", "false"}, // of no meaning without tools
		"reasoning_effort":    {`"none"`},
		"tool_choice":         {`"none"`},
		"tools":               {"[]"},
		"verbosity":           {},
		"web_search_options":  {},
	})

// DecodeChat reads a request for an answer in a conversation. An error is a
// [dlm.Fault] that names the field.
func DecodeChat(body []byte) (*ChatRequest, error) {
	r := &ChatRequest{}
	if err := chatFields.decode(body, r); err != nil {
		return nil, err
	}
	if r.MaxAnswer != nil {
		if r.MaxToken != nil && *r.MaxToken != *r.MaxAnswer {
			return nil, refused("max_completion_tokens", "max_completion_tokens is %d and max_tokens %d; send one of them", *r.MaxAnswer, *r.MaxToken)
		}
		r.MaxToken = r.MaxAnswer
	}
	if r.MaxToken != nil && *r.MaxToken == 0 {
		return nil, refused("max_tokens", "max_tokens is 0; expected at least 1")
	}
	return r, nil
}

// Generate turns the request into one of the port's for each choice. System is
// put before a conversation that has no system message.
func (r *ChatRequest) Generate(system string) ([]dlm.GenerateRequest, error) {
	s, err := r.sampling()
	if err != nil {
		return nil, err
	}
	top, err := r.top()
	if err != nil {
		return nil, err
	}
	format, err := r.format()
	if err != nil {
		return nil, err
	}
	msgs, err := conversation(r.Messages, system)
	if err != nil {
		return nil, err
	}
	one := dlm.GenerateRequest{Messages: msgs, Sampling: s, Format: format, TopLogProbs: top}
	if r.Prompted != nil {
		one.PromptLogProbs, one.TopLogProbs = true, max(top, *r.Prompted, 1)
	}
	return repeated(one, r.Choices()), nil
}

// top is how many alternatives are asked of the engine: one at least where
// log-probabilities are wanted, because it then tells each token's bytes.
func (r *ChatRequest) top() (int, error) {
	if r.Top != nil {
		if !r.LogProbs && *r.Top != 0 {
			return 0, refused("top_logprobs", "top_logprobs needs logprobs to be true")
		}
		if *r.Top < 0 || *r.Top > MaxTop {
			return 0, refused("top_logprobs", "top_logprobs is %d; expected 0 to %d", *r.Top, MaxTop)
		}
	}
	if !r.LogProbs {
		return 0, nil
	}
	return max(r.TopLogProbs(), 1), nil
}

// TopLogProbs is how many alternatives the answer shows.
func (r *ChatRequest) TopLogProbs() int {
	if r.Top == nil {
		return 0
	}
	return *r.Top
}

// repeated is one request for each choice: they share a seed and are told apart by their sequence.
func repeated(one dlm.GenerateRequest, n int) []dlm.GenerateRequest {
	out := make([]dlm.GenerateRequest, n)
	for i := range out {
		out[i] = one
		out[i].Sampling.Sequence = uint64(i)
	}
	return out
}

// Message is one turn of a conversation.
type Message struct {
	Role    string
	Content string
}

// roles maps OpenAI's roles to those that chat templates know.
var roles = map[string]string{"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

// messageFields are those of a message. An assistant's turn may come back with
// the empty fields that an answer had.
var messageFields = fields{
	use:    []string{"role", "content"},
	ignore: []string{"annotations"},
	neutral: map[string][]string{
		"audio": {}, "function_call": {}, "name": {`""`}, "prefix": {"false"}, "reasoning": {`""`}, "reasoning_content": {`""`},
		"refusal": {`""`}, "tool_call_id": {}, "tool_calls": {"[]"},
	},
}

// UnmarshalJSON reads a message whose content is text or a list of text parts,
// which are joined by line ends, as vLLM joins them.
func (m *Message) UnmarshalJSON(b []byte) error {
	var raw struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	if err := messageFields.decode(b, &raw); err != nil {
		return err
	}
	role, ok := roles[raw.Role]
	if !ok {
		return unsupported("", "role %s is not supported; expected system, developer, user or assistant", quote(raw.Role))
	}
	m.Role = role
	switch first(raw.Content) {
	case '"':
		return json.Unmarshal(raw.Content, &m.Content)
	case '[':
		return m.parts(raw.Content)
	}
	return refused("", "content of a message is missing; expected text or a list of text parts")
}

// part is a piece of a message's content.
type part struct {
	Type string  `json:"type"`
	Text *string `json:"text"`
}

// partFields are those of a part. Hints at what may be cached change no answer.
var partFields = fields{use: []string{"type", "text"}, ignore: []string{"cache_control"}}

// UnmarshalJSON refuses what is no text.
func (p *part) UnmarshalJSON(b []byte) error {
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(b, &kind); err == nil && kind.Type != "text" {
		return unsupported("", "a content part of type %s is not supported; expected text", quote(kind.Type))
	}
	type plain part
	if err := partFields.decode(b, (*plain)(p)); err != nil {
		return err
	}
	if p.Text == nil {
		return refused("", "a content part has no text")
	}
	return nil
}

func (m *Message) parts(raw json.RawMessage) error {
	var parts []part
	if err := json.Unmarshal(raw, &parts); err != nil {
		return jsonError(err)
	}
	texts := make([]string, len(parts))
	for i, p := range parts {
		if p.Text == nil { // null, which never reaches UnmarshalJSON's checks
			return refused("", "content part %d has no text", i)
		}
		texts[i] = *p.Text
	}
	m.Content = strings.Join(texts, "\n")
	return nil
}

func conversation(msgs []Message, system string) ([]dlm.Message, error) {
	if len(msgs) == 0 {
		return nil, refused("messages", "messages is empty; expected at least one message")
	}
	var out []dlm.Message
	has := false
	for _, m := range msgs {
		has = has || m.Role == "system"
	}
	if system != "" && !has {
		out = append(out, dlm.Message{Role: "system", Content: system})
	}
	for _, m := range msgs {
		out = append(out, dlm.Message{Role: m.Role, Content: m.Content})
	}
	return out, nil
}
