package serve

import (
	"net/http"

	"dlm"
	"dlm/serve/openai"
)

// tokenize answers vLLM's endpoint of that name.
func tokenize(x *exchange) error {
	b, err := x.body()
	if err != nil {
		return err
	}
	r, err := openai.DecodeTokenize(b)
	if err != nil {
		return err
	}
	c, err := x.codec(r.Model)
	if err != nil {
		return err
	}
	msgs, err := r.Conversation(x.target.System)
	if err != nil {
		return err
	}
	var ids []int32
	switch {
	case msgs == nil && !r.Special():
		for _, t := range c.Tokenize(r.Prompt, true) {
			ids = append(ids, t.ID)
		}
	case msgs == nil && r.Prompt == "":
	default:
		if ids, err = c.Prompt(msgs, r.Prompt); err != nil {
			return promptFault("messages", err)
		}
	}
	x.out.Prompt = len(ids)
	out := openai.Tokenized{Count: len(ids), Context: c.Context(), Tokens: append([]int32{}, ids...)}
	if r.Strings {
		out.Strings = make([]string, len(ids))
		for i, id := range ids {
			out.Strings[i] = c.Piece(id)
		}
	}
	return x.json(http.StatusOK, out)
}

// detokenize is the way back.
func detokenize(x *exchange) error {
	b, err := x.body()
	if err != nil {
		return err
	}
	r, err := openai.DecodeDetokenize(b)
	if err != nil {
		return err
	}
	if _, err := x.codec(r.Model); err != nil {
		return err
	}
	text, err := x.spell(r.Tokens, "tokens")
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, openai.Detokenized{Prompt: text})
}

// codec is the tokenizer of a model.
func (x *exchange) codec(model string) (dlm.Codec, error) {
	if err := x.route(model, ""); err != nil {
		return nil, err
	}
	if x.target.Codec == nil {
		return nil, dlm.Faultf(dlm.FaultUnsupported, "model", "the engine of %s sees text alone: its tokens are not known here", model)
	}
	return x.target.Codec, nil
}
