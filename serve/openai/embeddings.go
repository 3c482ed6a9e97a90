package openai

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"

	"dlm"
)

// MaxInputs is how many texts one request may embed.
const MaxInputs = 2048

// EmbeddingsRequest is the body of /v1/embeddings.
type EmbeddingsRequest struct {
	Model      string `json:"model"`
	Input      Texts  `json:"input"`
	Encoding   string `json:"encoding_format"` // "float" or "base64"
	Dimensions *int   `json:"dimensions"`
	User       string `json:"user"`
}

// Embeddings is the answer.
type Embeddings struct {
	Object string         `json:"object"` // "list"
	Data   []Embedding    `json:"data"`
	Model  string         `json:"model"`
	Usage  EmbeddingUsage `json:"usage"`
}

// Embedding is one text's vector: numbers, or their bytes (float32, little-endian) in base64.
type Embedding struct {
	Object string `json:"object"` // "embedding"
	Index  int    `json:"index"`
	Vector any    `json:"embedding"`
}

// EmbeddingUsage counts tokens.
type EmbeddingUsage struct {
	Prompt int `json:"prompt_tokens"`
	Total  int `json:"total_tokens"`
}

var embeddingFields = fields{
	use:     []string{"model", "input", "encoding_format", "dimensions", "user"},
	ignore:  []string{"priority", "request_id", "metadata"},
	neutral: map[string][]string{"add_special_tokens": {"true"}, "truncate_prompt_tokens": {}, "normalize": {"true"}, "input_type": {}},
}

// DecodeEmbeddings reads an [EmbeddingsRequest].
func DecodeEmbeddings(body []byte) (*EmbeddingsRequest, error) {
	r := &EmbeddingsRequest{}
	if err := embeddingFields.decode(body, r); err != nil {
		return nil, err
	}
	switch {
	case r.Model == "":
		return nil, errNoModel()
	case len(r.Input) == 0:
		return nil, refused("input", "input is missing; expected text or token ids")
	case len(r.Input) > MaxInputs:
		return nil, refused("input", "input has %d texts; expected at most %d", len(r.Input), MaxInputs)
	case r.Encoding != "" && r.Encoding != "float" && r.Encoding != "base64":
		return nil, refused("encoding_format", "encoding_format %s: expected float or base64", quote(r.Encoding))
	case r.Dimensions != nil && *r.Dimensions < 1:
		return nil, refused("dimensions", "dimensions is %d; expected at least 1", *r.Dimensions)
	}
	for i, t := range r.Input {
		if t.Text == "" && len(t.IDs) == 0 {
			return nil, refused("input", "input %d is empty", i)
		}
	}
	return r, nil
}

// Answer makes the body. Fewer dimensions are the first ones, brought to length 1
// again, which is what models mean that were trained for it (arXiv 2205.13147).
func (r *EmbeddingsRequest) Answer(all []dlm.Embedded) (Embeddings, error) {
	out := Embeddings{Object: "list", Model: r.Model, Data: make([]Embedding, len(all))}
	for i, e := range all {
		v := e.Vector
		if d := r.Dimensions; d != nil {
			if *d > len(v) {
				return out, refused("dimensions", "dimensions is %d; the model has %d", *d, len(v))
			}
			v = shortened(v, *d)
		}
		for _, f := range v {
			if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
				return out, fmt.Errorf("the vector of input %d has a value that is no number", i)
			}
		}
		out.Data[i] = Embedding{Object: "embedding", Index: i, Vector: v}
		if r.Encoding == "base64" {
			b := make([]byte, 0, 4*len(v))
			for _, f := range v {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
			}
			out.Data[i].Vector = base64.StdEncoding.EncodeToString(b)
		}
		out.Usage.Prompt += e.Tokens
	}
	out.Usage.Total = out.Usage.Prompt
	return out, nil
}

func shortened(v []float32, d int) []float32 {
	if d == len(v) {
		return v
	}
	var sum float64
	for _, f := range v[:d] {
		sum += float64(f) * float64(f)
	}
	out := make([]float32, d)
	if sum == 0 {
		return out
	}
	for i, f := range v[:d] {
		out[i] = float32(float64(f) / math.Sqrt(sum))
	}
	return out
}
