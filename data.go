package dlm

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"` // "system", "user" or "assistant"
	Content string `json:"content"`
}

// Row is one training example, in one of TRL's shapes:
//
//	messages              Messages, TrainFrom 0
//	prompt, completion    Messages, TrainFrom = len(prompt)  (conversational)
//	prompt, completion    RawPrompt, RawCompletion           (plain text, no template)
//	text                  RawCompletion alone
//	prompt, chosen, rejected   the chosen answer as a prompt-completion row has it, the other in Rejected or RawRejected
//	prompt, completion, label  as prompt, completion; Label says whether people liked it
type Row struct {
	ID            string    // given or made from file and line
	Messages      []Message // conversation; empty for plain text
	TrainFrom     int       // assistant messages at this index or later are in the loss
	RawPrompt     string    // plain text, never templated
	RawCompletion string
	Rejected      []Message // preference pair: the turns that follow Messages[:TrainFrom] in the rejected answer
	RawRejected   string    // preference pair in plain text
	Label         *bool     // unpaired preference (KTO): true = desirable; nil = none
	Tags          []string
	File          string // where the row stands, for errors
	Line          int    // counted from 1
}

// Prompt returns the messages before the last assistant turn: what a server
// would be sent to get that turn as an answer.
func (r Row) Prompt() []Message {
	for i := len(r.Messages) - 1; i >= 0; i-- {
		if r.Messages[i].Role == "assistant" {
			return r.Messages[:i]
		}
	}
	return r.Messages
}

// Completion returns the text of the last assistant turn, or the plain text.
func (r Row) Completion() string {
	for i := len(r.Messages) - 1; i >= 0; i-- {
		if r.Messages[i].Role == "assistant" {
			return r.Messages[i].Content
		}
	}
	return r.RawCompletion
}

// Encoded is a row as the base model sees it.
type Encoded struct {
	IDs       []int32 // [T] token ids
	Mask      []bool  // [T] completion mask: true = the token counts in the loss
	Truncated bool    // cut to the maximum length
	EndOfTurn int32   // id that ends an assistant turn, -1 when there is none
}

// Item is one question of a golden set. It is never trained on.
type Item struct {
	ID       string    `json:"id"`
	Messages []Message `json:"messages"`          // the prompt
	Target   string    `json:"target"`            // the right completion
	Choices  []string  `json:"choices,omitempty"` // candidates, for choice by log-likelihood
	Tags     []string  `json:"tags,omitempty"`
	Cluster  string    `json:"cluster,omitempty"` // items that share it are not independent
	Line     int       `json:"-"`                 // where it stands in its file, for errors
}
