package openai

import (
	"context"
	"math"
	"net/http"

	"dlm"
	"dlm/internal/remote"
)

// Embed asks for one vector a text, with Options.Model. Each text is a request
// of its own: an answer tells the tokens of all its texts in one number.
func (e *Engine) Embed(ctx context.Context, texts []string) ([]dlm.Embedded, error) {
	model, err := e.modelOf(ctx, "")
	if err != nil {
		return nil, err
	}
	out := make([]dlm.Embedded, len(texts))
	err = remote.Each(ctx, len(texts), e.o.Parallel, func(ctx context.Context, i int) error {
		var a struct {
			Data []struct {
				Embedding []float32 `json:"embedding"`
			} `json:"data"`
			Usage usage `json:"usage"`
		}
		body := map[string]any{"model": model, "input": texts[i], "encoding_format": "float"}
		if err := e.call(ctx, http.MethodPost, "/embeddings", body, &a); err != nil {
			return err
		}
		if len(a.Data) != 1 || len(a.Data[0].Embedding) == 0 {
			return dlm.Faultf(dlm.FaultUpstream, "", "%s: %d vectors for one text", e.o.Name, len(a.Data))
		}
		v, ok := unit(a.Data[0].Embedding)
		if !ok {
			return dlm.Faultf(dlm.FaultUpstream, "", "%s: the vector has no direction", e.o.Name)
		}
		out[i] = dlm.Embedded{Vector: v, Tokens: a.Usage.Prompt}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// unit scales a vector to length 1.
func unit(v []float32) ([]float32, bool) {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return nil, false
	}
	for i := range v {
		v[i] = float32(float64(v[i]) / math.Sqrt(sum))
	}
	return v, true
}
