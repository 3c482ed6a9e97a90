package ollama

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"dlm"
)

// request is the body of /api/chat and, for plain text, /api/generate.
type request struct {
	Model    string         `json:"model"`
	Messages []message      `json:"messages,omitempty"`
	Prompt   string         `json:"prompt,omitempty"`
	Raw      bool           `json:"raw,omitempty"` // no template
	Stream   bool           `json:"stream"`
	Options  map[string]any `json:"options"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// chunk is one line of an answer.
type chunk struct {
	Message  message `json:"message"`
	Response string  `json:"response"` // of /api/generate
	Done     bool    `json:"done"`
	Reason   string  `json:"done_reason"` // "stop" or "length"
	Error    string  `json:"error"`
}

// Generate answers every request, Options.Parallel at once. Messages are rendered by
// Ollama, with the Modelfile's template. Sampling parameters are the requests', not
// the Modelfile's; a seed gives other draws than in the native engine.
//
// Ollama tells neither ids nor log-probabilities: a Token is a piece of text as it
// came, with the id -1 and the log-probability 0.
func (e *Engine) Generate(ctx context.Context, reqs []dlm.GenerateRequest, emit func(i int, t dlm.Token)) ([]dlm.Completion, error) {
	start := time.Now()
	in, out := make([]request, len(reqs)), make([]dlm.Completion, len(reqs))
	for i, r := range reqs {
		var err error
		if in[i], out[i].PromptTokens, err = e.prepare(r); err != nil {
			return nil, requestError(len(reqs), i, err)
		}
	}
	var emitting sync.Mutex
	err := e.each(ctx, len(reqs), func(ctx context.Context, i int) error {
		err := e.complete(ctx, in[i], &out[i], func(t dlm.Token) {
			emitting.Lock()
			defer emitting.Unlock()
			if emit != nil && ctx.Err() == nil {
				emit(i, t)
			}
		})
		out[i].Latency = time.Since(start)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// prepare checks a request and turns it into Ollama's, and counts its prompt.
func (e *Engine) prepare(r dlm.GenerateRequest) (request, int, error) {
	s := r.Sampling
	if err := s.Validate(); err != nil {
		return request{}, 0, err
	}
	if r.Adapter != "" {
		return request{}, 0, fmt.Errorf("adapter %s: Ollama serves what its Modelfile names", r.Adapter)
	}
	ids, err := e.o.Codec.Prompt(r.Messages, r.Raw)
	if err != nil {
		return request{}, 0, err
	}
	room := e.o.Context - len(ids)
	if room < 1 {
		return request{}, 0, fmt.Errorf("the prompt has %d tokens; the context of %d has no room for a completion; shorten the prompt, or raise num_ctx", len(ids), e.o.Context)
	}
	if s.MaxTokens == 0 || s.MaxTokens > room {
		s.MaxTokens = room
	}
	if s.TopP == 0 {
		s.TopP = 1
	}
	if s.RepetitionPenalty == 0 {
		s.RepetitionPenalty = 1
	}
	q := request{Model: e.name, Stream: true, Options: map[string]any{
		"num_ctx": e.o.Context, "num_predict": s.MaxTokens, "temperature": s.Temperature, "top_k": s.TopK, "top_p": s.TopP, "min_p": s.MinP,
		"repeat_penalty": s.RepetitionPenalty, "repeat_last_n": -1, "seed": int32(s.Seed & (1<<31 - 1)),
	}}
	if len(s.Stop) > 0 {
		q.Options["stop"] = s.Stop
	}
	if e.o.Threads > 0 {
		q.Options["num_thread"] = e.o.Threads
	}
	for _, m := range r.Messages {
		q.Messages = append(q.Messages, message(m))
	}
	if len(r.Messages) == 0 {
		q.Prompt, q.Raw = r.Raw, true
	}
	return q, len(ids), nil
}

// complete streams one completion into out.
func (e *Engine) complete(ctx context.Context, q request, out *dlm.Completion, emit func(dlm.Token)) error {
	path := "/api/chat"
	if q.Raw {
		path = "/api/generate"
	}
	body, err := e.do(ctx, http.MethodPost, path, q)
	if err != nil {
		return err
	}
	defer body.Close()
	err = readLines(body, func(c chunk) error {
		text := c.Message.Content + c.Response
		if text != "" {
			t := dlm.Token{ID: -1, Text: text}
			out.Tokens, out.Text = append(out.Tokens, t), out.Text+text
			emit(t)
		}
		if !c.Done {
			return nil
		}
		switch c.Reason {
		case "stop", "length":
			out.Finish = c.Reason
			return errDone
		}
		return fmt.Errorf("ollama ended the completion with %q", c.Reason)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// errDone ends a stream from within.
var errDone = errors.New("done")

// maxLine is the longest line of a stream, in bytes.
const maxLine = 16 << 20

// readLines reads JSON lines until f returns errDone.
func readLines(r io.Reader, f func(chunk) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		var c chunk
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return fmt.Errorf("ollama's answer is no JSON: %w", err)
		}
		if c.Error != "" {
			return fmt.Errorf("ollama: %s", c.Error)
		}
		if err := f(c); errors.Is(err, errDone) {
			return nil
		} else if err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("ollama's answer broke off: %w", err)
	}
	return errors.New("ollama's answer ended without saying why")
}

// each calls f for 0..n-1, Options.Parallel at once, until one fails.
func (e *Engine) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	var first error
	var once sync.Once
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(n, e.o.Parallel) {
		workers.Go(func() {
			for i := range next {
				if err := f(run, i); err != nil {
					if e.server != nil {
						err = e.server.Because(err)
					}
					once.Do(func() { first = requestError(n, i, err) })
					cancel()
				}
			}
		})
	}
	for i := 0; i < n && run.Err() == nil; i++ {
		select {
		case next <- i:
		case <-run.Done():
		}
	}
	close(next)
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	return first
}

// requestError names a request where there are several.
func requestError(n, i int, err error) error {
	if n == 1 {
		return err
	}
	return fmt.Errorf("request %d of %d: %w", i+1, n, err)
}
