package ollama

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"

	"dlm"
	"dlm/internal/remote"
)

// Embed asks for one vector a text, with the model that requests without an
// adapter ask. Each text is a request of its own, so that its tokens are known; one
// that is too long is refused.
func (e *Engine) Embed(ctx context.Context, texts []string) ([]dlm.Embedded, error) {
	name, err := e.modelOf("")
	if err != nil {
		return nil, err
	}
	out := make([]dlm.Embedded, len(texts))
	err = remote.Each(ctx, len(texts), e.o.Parallel, func(ctx context.Context, i int) error {
		var err error
		out[i], err = e.embed(ctx, name, texts[i])
		return e.failed(ctx, err)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (e *Engine) embed(ctx context.Context, name, text string) (out dlm.Embedded, err error) {
	body, err := e.do(ctx, http.MethodPost, "/api/embed", map[string]any{"model": name, "input": text, "truncate": false})
	if err != nil {
		return out, err
	}
	defer body.Close()
	var a struct {
		Vectors [][]float32 `json:"embeddings"`
		Tokens  int         `json:"prompt_eval_count"`
	}
	if err := json.NewDecoder(body).Decode(&a); err != nil {
		return out, fmt.Errorf("ollama's answer is no JSON: %w", err)
	}
	if len(a.Vectors) != 1 {
		return out, fmt.Errorf("ollama gave %d vectors for one text", len(a.Vectors))
	}
	out.Vector, out.Tokens = a.Vectors[0], a.Tokens
	sum := 0.0
	for _, x := range out.Vector {
		sum += float64(x) * float64(x)
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return out, fmt.Errorf("ollama's vector of %d numbers has no direction", len(out.Vector))
	}
	for j, x := range out.Vector {
		out.Vector[j] = float32(float64(x) / math.Sqrt(sum))
	}
	return out, nil
}
