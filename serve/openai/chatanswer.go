package openai

import "dlm"

// Objects of the bodies.
const (
	ObjectChat       = "chat.completion"
	ObjectChatChunk  = "chat.completion.chunk"
	ObjectCompletion = "text_completion"
)

// ChatAnswer is the body of an answer to a [ChatRequest].
type ChatAnswer struct {
	Head
	Choices []ChatChoice `json:"choices"`
	Usage   Usage        `json:"usage"`
	Prompt  []any        `json:"prompt_logprobs,omitempty"` // vLLM's, when asked for
}

// ChatChoice is one of n answers.
type ChatChoice struct {
	Index    int           `json:"index"`
	Message  ChatMessage   `json:"message"`
	LogProbs *ChatLogProbs `json:"logprobs"`
	Finish   string        `json:"finish_reason"`
}

// ChatMessage is an answer's text.
type ChatMessage struct {
	Role    string  `json:"role"`
	Content string  `json:"content"`
	Refusal *string `json:"refusal"` // always null
}

// ChatLogProbs holds the log-probabilities of an answer, or of an event's part of it.
type ChatLogProbs struct {
	Content []ChatToken `json:"content"`
	Refusal *string     `json:"refusal"` // always null
}

// ChatToken is a token of an answer.
type ChatToken struct {
	Token   string      `json:"token"`
	LogProb float64     `json:"logprob"`
	Bytes   []int       `json:"bytes"`
	Top     []ChatToken `json:"top_logprobs,omitempty"`
}

// ChatChunk is an event of a streamed answer.
type ChatChunk struct {
	Head
	Choices []ChatDelta `json:"choices"`
	Usage   *Usage      `json:"usage,omitempty"`
}

// ChatDelta is what an event adds to an answer.
type ChatDelta struct {
	Index    int           `json:"index"`
	Delta    Delta         `json:"delta"`
	LogProbs *ChatLogProbs `json:"logprobs"`
	Finish   *string       `json:"finish_reason"`
}

// Delta is the text of it; the first has the role and no text, the last neither.
type Delta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

// Answer makes the body from what the generator answered.
func (r *ChatRequest) Answer(h Head, all []dlm.Completion) ChatAnswer {
	h.Object = ObjectChat
	a := ChatAnswer{Head: h, Usage: UsageOf(all, len(all))}
	for i, c := range all {
		ch := ChatChoice{Index: i, Message: ChatMessage{Role: "assistant", Content: c.Text}, Finish: c.Finish}
		ch.LogProbs = r.Probabilities(c.Tokens)
		a.Choices = append(a.Choices, ch)
	}
	if r.Prompted != nil && len(all) > 0 {
		a.Prompt = promptLogProbs(all[0].Prompt, *r.Prompted)
	}
	return a
}

// Probabilities is what an answer says of its tokens; nil when nothing was asked.
func (r *ChatRequest) Probabilities(tokens []dlm.Token) *ChatLogProbs {
	if !r.LogProbs {
		return nil
	}
	l := &ChatLogProbs{Content: make([]ChatToken, len(tokens))}
	for i, t := range tokens {
		l.Content[i] = chatToken(spelled(t), t.LogProb)
		top := make([]ChatToken, 0, r.TopLogProbs())
		for _, a := range t.Top[:min(len(t.Top), r.TopLogProbs())] {
			top = append(top, chatToken(a.Bytes, a.LogProb))
		}
		l.Content[i].Top = top
	}
	return l
}

func chatToken(b []byte, logp float64) ChatToken {
	t := ChatToken{Token: piece(b), LogProb: finite(logp), Bytes: make([]int, len(b))}
	for i, c := range b {
		t.Bytes[i] = int(c)
	}
	return t
}

// First is the event that begins choice i.
func (r *ChatRequest) First(h Head, i int) ChatChunk {
	empty := ""
	return r.chunk(h, ChatDelta{Index: i, Delta: Delta{Role: "assistant", Content: &empty}})
}

// Next is the event of text and tokens that choice i goes on with.
func (r *ChatRequest) Next(h Head, i int, text string, tokens []dlm.Token) ChatChunk {
	return r.chunk(h, ChatDelta{Index: i, Delta: Delta{Content: &text}, LogProbs: r.Probabilities(tokens)})
}

// Last is the event that ends choice i.
func (r *ChatRequest) Last(h Head, i int, finish string) ChatChunk {
	return r.chunk(h, ChatDelta{Index: i, Finish: &finish})
}

// Used is the event that ends a stream whose usage was asked for.
func (r *ChatRequest) Used(h Head, u Usage) ChatChunk {
	h.Object = ObjectChatChunk
	return ChatChunk{Head: h, Choices: []ChatDelta{}, Usage: &u}
}

func (r *ChatRequest) chunk(h Head, d ChatDelta) ChatChunk {
	h.Object = ObjectChatChunk
	return ChatChunk{Head: h, Choices: []ChatDelta{d}}
}
