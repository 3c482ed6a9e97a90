package openai

import "dlm"

// TokenizeRequest is the body of vLLM's /tokenize: plain text or a conversation.
type TokenizeRequest struct {
	Model    string    `json:"model"`
	Prompt   string    `json:"prompt"`
	Messages []Message `json:"messages"`
	Add      *bool     `json:"add_special_tokens"` // of plain text; default true
	Strings  bool      `json:"return_token_strs"`
}

// Special says whether tokens are added that begin a text.
func (r *TokenizeRequest) Special() bool { return r.Add == nil || *r.Add }

// Tokenized is the answer.
type Tokenized struct {
	Count   int      `json:"count"`
	Context int      `json:"max_model_len"`
	Tokens  []int32  `json:"tokens"`
	Strings []string `json:"token_strs"`
}

// DetokenizeRequest is the body of vLLM's /detokenize.
type DetokenizeRequest struct {
	Model  string `json:"model"`
	Tokens IDs    `json:"tokens"`
}

// Detokenized is the answer.
type Detokenized struct {
	Prompt string `json:"prompt"`
}

var (
	tokenizeFields = fields{use: []string{"model", "prompt", "messages", "add_special_tokens", "return_token_strs"}, neutral: map[string][]string{
		"add_generation_prompt": {"true"}, "continue_final_message": {"false"}, "chat_template": {}, "chat_template_kwargs": {"{}"}, "mm_processor_kwargs": {"{}"}, "tools": {"[]"},
	}}
	detokenizeFields = fields{use: []string{"model", "tokens"}}
)

// DecodeTokenize reads a [TokenizeRequest].
func DecodeTokenize(body []byte) (*TokenizeRequest, error) {
	r := &TokenizeRequest{}
	if err := tokenizeFields.decode(body, r); err != nil {
		return nil, err
	}
	switch {
	case r.Model == "":
		return nil, errNoModel()
	case r.Messages != nil && r.Prompt != "":
		return nil, refused("prompt", "prompt and messages: send one of them")
	case r.Messages != nil && r.Add != nil && *r.Add:
		return nil, unsupported("add_special_tokens", "add_special_tokens: a chat template has them already; leave it out")
	}
	return r, nil
}

// Conversation is the messages as the base's template is to see them; nil for plain text.
func (r *TokenizeRequest) Conversation(system string) ([]dlm.Message, error) {
	if r.Messages == nil {
		return nil, nil
	}
	return conversation(r.Messages, system)
}

// DecodeDetokenize reads a [DetokenizeRequest].
func DecodeDetokenize(body []byte) (*DetokenizeRequest, error) {
	r := &DetokenizeRequest{}
	if err := detokenizeFields.decode(body, r); err != nil {
		return nil, err
	}
	if r.Model == "" {
		return nil, errNoModel()
	}
	return r, nil
}

func errNoModel() error {
	return refused("model", "model is missing; /v1/models lists what there is")
}
