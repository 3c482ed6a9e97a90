package vllm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// chunk is a piece of a streamed completion.
type chunk struct {
	Choices []struct {
		TokenIDs  []int32 `json:"token_ids"`
		PromptIDs []int32 `json:"prompt_token_ids"`
		LogProbs  *struct {
			Tokens []*float64 `json:"token_logprobs"`
		} `json:"logprobs"`
		Finish string `json:"finish_reason"`
	}
	Error json.RawMessage
}

// maxEvent is the most that one event may hold, in bytes.
const maxEvent = 16 << 20

// errDone ends the reading of a stream without a failure.
var errDone = errors.New("done")

// readEvents calls f with the data of each server-sent event until [DONE], or
// until f returns an error. A stream that ends otherwise is an error.
func readEvents(r io.Reader, f func(data []byte) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 16<<10), maxEvent)
	for s.Scan() {
		data, ok := bytes.CutPrefix(s.Bytes(), []byte("data:"))
		if !ok {
			continue // blank lines, comments, other fields
		}
		data = bytes.TrimSpace(data)
		if string(data) == "[DONE]" {
			return nil
		}
		if err := f(data); err != nil {
			if errors.Is(err, errDone) {
				return nil
			}
			return err
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("vLLM's answer broke off: %w", err)
	}
	return fmt.Errorf("vLLM's answer broke off: %w", io.ErrUnexpectedEOF)
}

// parseChunk reads one event's data and refuses what cannot be used.
func parseChunk(data []byte) (c chunk, err error) {
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("vLLM's stream holds %s: %w", oneLine(string(data), 200), err)
	}
	if len(c.Error) > 0 && string(c.Error) != "null" {
		return c, &apiError{500, reason(data, "an error in the stream")}
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
