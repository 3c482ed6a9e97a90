package llamacpp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// chunk is one event of /completion.
type chunk struct {
	Tokens   []int32 `json:"tokens"`
	Probs    []prob  `json:"completion_probabilities"`
	Stop     bool    `json:"stop"`
	StopType string  `json:"stop_type"` // "eos", "limit", "word", with the last event
	Error    *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// prob is what the model gave a token, before sampling parameters.
type prob struct {
	ID      int32   `json:"id"`
	LogProb float64 `json:"logprob"`
}

// errDone ends a stream from within: all that is needed has come.
var errDone = errors.New("done")

// maxEvent is the longest line of a stream, in bytes.
const maxEvent = 16 << 20

// stream asks for a completion and hands its events to f until f returns errDone.
func (e *Engine) stream(ctx context.Context, q request, f func(chunk) error) error {
	body, err := e.do(ctx, http.MethodPost, "/completion", q)
	if err != nil {
		return err
	}
	defer body.Close()
	err = readEvents(body, f)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// readEvents reads server-sent events until f returns errDone.
func readEvents(r io.Reader, f func(chunk) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxEvent)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !ok {
			data, ok = bytes.CutPrefix(lines.Bytes(), []byte("error:")) // of older servers
		}
		if !ok {
			continue
		}
		var c chunk
		if err := json.Unmarshal(data, &c); err != nil {
			return fmt.Errorf("llama-server's answer is no JSON: %w", err)
		}
		if c.Error != nil {
			return fmt.Errorf("llama-server: %s", c.Error.Message)
		}
		if err := f(c); errors.Is(err, errDone) {
			return nil
		} else if err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("llama-server's answer broke off: %w", err)
	}
	return errors.New("llama-server's answer ended without saying why")
}
