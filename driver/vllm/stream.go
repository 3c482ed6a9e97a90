package vllm

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"dlm"
	"dlm/internal/remote"
)

// chunk is a piece of a streamed completion.
type chunk struct {
	Choices []struct {
		TokenIDs  []int32     `json:"token_ids"`
		PromptIDs []int32     `json:"prompt_token_ids"`
		LogProbs  *chunkProbs `json:"logprobs"`
		Finish    string      `json:"finish_reason"`
	}
	Error json.RawMessage
}

// chunkProbs are the log-probabilities of a chunk's tokens.
type chunkProbs struct {
	Tokens []*float64           `json:"token_logprobs"`
	Tops   []map[string]float64 `json:"top_logprobs"` // by token_id:ID; the chosen token is among them
}

// alternatives are the top likeliest tokens at the place of token i.
func (p *chunkProbs) alternatives(i, top int, codec dlm.Codec) ([]dlm.Alternative, error) {
	if i >= len(p.Tops) {
		return nil, fmt.Errorf("vLLM tells no alternatives of token %d, and %d were asked for", i, top)
	}
	out := make([]dlm.Alternative, 0, len(p.Tops[i]))
	for name, logp := range p.Tops[i] {
		id, err := strconv.ParseInt(strings.TrimPrefix(name, "token_id:"), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("vLLM names an alternative %q; expected token_id: and a number", name)
		}
		out = append(out, dlm.Alternative{ID: int32(id), Bytes: codec.Bytes(int32(id)), LogProb: min(logp, 0)})
	}
	return likeliest(out, top), nil
}

// likeliest puts alternatives in order and keeps the first of them.
func likeliest(a []dlm.Alternative, top int) []dlm.Alternative {
	slices.SortFunc(a, func(x, y dlm.Alternative) int {
		return cmp.Or(cmp.Compare(y.LogProb, x.LogProb), cmp.Compare(x.ID, y.ID))
	})
	return a[:min(top, len(a))]
}

// parseChunk reads one event's data and refuses what cannot be used.
func parseChunk(data []byte) (c chunk, err error) {
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("vLLM's stream holds %s: %w", remote.OneLine(string(data), 200), err)
	}
	if len(c.Error) > 0 && string(c.Error) != "null" {
		return c, refused(http.StatusInternalServerError, data, "an error in the stream")
	}
	if len(c.Choices) > 1 {
		return c, fmt.Errorf("vLLM's stream holds %d choices; expected one", len(c.Choices))
	}
	for _, ch := range c.Choices {
		n := 0
		if ch.LogProbs != nil {
			n = len(ch.LogProbs.Tokens)
		}
		if n != len(ch.TokenIDs) {
			return c, fmt.Errorf("vLLM's stream holds %d token ids with %d log-probabilities; this needs a vLLM that knows return_token_ids (0.10.2 or later)", len(ch.TokenIDs), n)
		}
	}
	return c, nil
}
