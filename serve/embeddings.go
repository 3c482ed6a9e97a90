package serve

import (
	"errors"
	"net/http"

	"dlm"
	"dlm/serve/openai"
)

// embeddings answers /v1/embeddings.
func embeddings(x *exchange) error {
	b, err := x.body()
	if err != nil {
		return err
	}
	r, err := openai.DecodeEmbeddings(b)
	if err != nil {
		return err
	}
	if err := x.route(r.Model, r.User); err != nil {
		return err
	}
	e := x.target.Embedder
	if e == nil {
		return dlm.Faultf(dlm.FaultUnsupported, "model", "%s makes no embeddings", r.Model)
	}
	if l := x.limits.Choices; l > 0 && len(r.Input) > max(l, openai.MaxInputs) {
		return dlm.Faultf(dlm.FaultRequest, "input", "input has %d texts", len(r.Input))
	}
	texts, bytes, err := x.texts(r.Input)
	if err != nil {
		return err
	}
	if err := x.grant.Reserve(bytes/4 + len(texts)); err != nil {
		return err
	}
	all, err := e.Embed(x.ctx, texts)
	if err == nil && len(all) != len(texts) {
		err = errors.New("the embedder answered another number of texts than it was asked")
	}
	if err != nil {
		return err
	}
	out, err := r.Answer(all)
	if err != nil {
		return err
	}
	x.spent, x.out.Prompt = out.Usage.Prompt, out.Usage.Prompt
	return x.json(http.StatusOK, out)
}

// texts spells out what came as token ids, and makes sure that the embedder will
// see the same ids again.
func (x *exchange) texts(in openai.Texts) (texts []string, bytes int, err error) {
	for _, t := range in {
		text := t.Text
		if t.IDs != nil {
			if text, err = x.spell(t.IDs, "input"); err != nil {
				return nil, 0, err
			}
			if !same(x.target.Codec.Tokenize(text, true), t.IDs) {
				return nil, 0, dlm.Faultf(dlm.FaultUnsupported, "input", "these token ids are not those of the text that they spell; send the text")
			}
		}
		texts = append(texts, text)
		bytes += len(text)
	}
	return texts, bytes, nil
}

func same(tokens []dlm.Token, ids []int32) bool {
	if len(tokens) != len(ids) {
		return false
	}
	for i, t := range tokens {
		if t.ID != ids[i] {
			return false
		}
	}
	return true
}
