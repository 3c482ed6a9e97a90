package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"
)

// Server says where requests go, and how they ask.
type Server struct {
	URL         string  // with or without /v1 at its end
	Key         string  // sent as bearer; "" = none
	Whole       bool    // ask for the answer at once instead of a stream
	Temperature float64 // 0 = greedy
	IgnoreEOS   bool    // ask for the full length, where the server knows ignore_eos
	Timeout     time.Duration
	Client      *http.Client // nil = one of its own, with as many connections as requests under way
}

// base is the URL up to and with /v1.
func (s *Server) base() string {
	u := strings.TrimRight(s.URL, "/")
	if !strings.HasSuffix(u, "/v1") {
		u += "/v1"
	}
	return u
}

func (s *Server) client() *http.Client {
	if s.Client != nil {
		return s.Client
	}
	return &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 4096,            // an idle connection is used again, whatever their number
		IdleConnTimeout:     2 * time.Second, // before servers end it: one that is closed while a request is sent looks like a failure
		DisableCompression:  true,
	}}
}

// Models asks the server for the names that it answers to.
func (s *Server) Models(ctx context.Context) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base()+"/models", nil)
	if err != nil {
		return nil, err
	}
	s.sign(req)
	resp, err := s.client().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxEvent))
	if err != nil {
		return nil, err
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &list); err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s/models: status %d, expected a list of models: %.200s", s.base(), resp.StatusCode, body)
	}
	var out []string
	for _, m := range list.Data {
		out = append(out, m.ID)
	}
	return out, nil
}

func (s *Server) sign(req *http.Request) {
	if s.Key != "" {
		req.Header.Set("Authorization", "Bearer "+s.Key)
	}
}

// body is a request's path and JSON.
func (s *Server) body(p *Plan, a ask) (path string, body []byte, err error) {
	m := map[string]any{"model": a.model, "max_tokens": a.maxTokens, "temperature": s.Temperature, "stream": !s.Whole}
	if !s.Whole {
		m["stream_options"] = map[string]any{"include_usage": true}
	}
	if s.IgnoreEOS {
		m["ignore_eos"] = true
	}
	if s.Temperature > 0 {
		m["seed"] = p.Seed + uint64(a.index)
	}
	path = "/completions"
	switch {
	case len(a.prompt.Messages) > 0:
		path, m["messages"] = "/chat/completions", a.prompt.Messages
	case a.prompt.Text != "":
		m["prompt"] = a.prompt.Text
	default:
		m["prompt"] = a.prompt.IDs
	}
	maps.Copy(m, p.Bodies[""])
	maps.Copy(m, p.Bodies[a.model])
	body, err = json.Marshal(m)
	return path, body, err
}

// exchange is what came of one request. Times are since the start of the load.
type exchange struct {
	ask
	due, sent, end time.Duration
	chunks         []time.Duration // at which text came
	prompt         int             // tokens, as the server counts
	cached         int             // of which it had computed before
	completion     int             // tokens
	estimated      bool            // the server did not say; completion counts chunks
	answered       string          // what the server says that answered
	adapter        string          // and which version
	resent         int             // times that it was sent again, on another connection
	kind, detail   string          // what went wrong
}

func (x *exchange) fail(kind, format string, args ...any) {
	x.kind, x.detail = kind, fmt.Sprintf(format, args...)
}

// Kinds of failure besides "status 429" and the like.
const (
	failConnect = "connection" // no answer's beginning
	failTimeout = "timeout"
	failStream  = "error in the stream"
	failCut     = "cut off" // the stream ended before it was complete
	failEmpty   = "no text"
	failFormat  = "unreadable"
	failStopped = "stopped" // by whoever runs the load: not the server's fault, and not counted
)

// do sends one request and reads its answer to the end.
func (s *Server) do(ctx context.Context, c *http.Client, p *Plan, a ask, start time.Time, due time.Duration) *exchange {
	x := &exchange{ask: a, due: due}
	outer := ctx
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.Timeout)
		defer cancel()
	}
	defer func() {
		x.end = time.Since(start)
		switch {
		case x.kind == "":
		case outer.Err() != nil:
			x.kind = failStopped
		case ctx.Err() != nil:
			x.fail(failTimeout, "no whole answer within %s", s.Timeout)
		}
	}()
	path, body, err := s.body(p, a)
	if err != nil {
		x.fail(failFormat, "%v", err)
		return x
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base()+path, bytes.NewReader(body))
	if err != nil {
		x.fail(failConnect, "%v", err)
		return x
	}
	req.Header.Set("Content-Type", "application/json")
	// Some servers end a connection without saying so, and a request sent on it
	// meets that. It is sent once more, as every client does, and counted.
	req.Header["Idempotency-Key"] = nil // not sent: it tells net/http that this may be done
	connections := 0
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connections++ }}))
	s.sign(req)
	x.sent = time.Since(start)
	resp, err := c.Do(req)
	x.resent = max(0, connections-1)
	if err != nil {
		x.fail(failConnect, "%v", errors.Unwrap(err))
		return x
	}
	defer resp.Body.Close()
	x.answered = resp.Header.Get("X-Dlm-Model")
	if d := resp.Header.Get("X-Dlm-Adapter"); strings.HasPrefix(d, "sha256:") {
		x.adapter = d
	}
	switch {
	case resp.StatusCode != http.StatusOK:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // the status says what matters
		x.fail(fmt.Sprintf("status %d", resp.StatusCode), "%.300s", text)
	case s.Whole:
		x.readWhole(resp.Body)
	default:
		x.readStream(resp.Body, start)
	}
	return x
}

// answer is what counts of an answer or of a piece of one.
type answer struct {
	Model   string `json:"model"`
	Choices []struct {
		Text    string      `json:"text"`
		Delta   answerText  `json:"delta"`
		Message *answerText `json:"message"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Details    *struct {
			Cached int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	} `json:"usage"`
	Error json.RawMessage `json:"error"`
}

type answerText struct {
	Content   string `json:"content"`
	Reasoning string `json:"reasoning_content"`
}

func (r *answer) text() bool {
	for _, c := range r.Choices {
		if c.Text != "" || c.Delta.Content != "" || c.Delta.Reasoning != "" || c.Message != nil && c.Message.Content+c.Message.Reasoning != "" {
			return true
		}
	}
	return false
}

// take notes what an answer says of itself.
func (x *exchange) take(r *answer) {
	if x.answered == "" {
		x.answered = r.Model
	}
	if u := r.Usage; u != nil {
		x.prompt, x.completion = u.Prompt, u.Completion
		if u.Details != nil {
			x.cached = u.Details.Cached
		}
	}
}

func (x *exchange) readWhole(body io.Reader) {
	var r answer
	if err := json.NewDecoder(body).Decode(&r); err != nil {
		x.fail(failFormat, "%v", err)
		return
	}
	x.take(&r)
	switch {
	case len(r.Error) > 0 && string(r.Error) != "null":
		x.fail(failStream, "%.300s", r.Error)
	case !r.text() && x.completion == 0:
		x.fail(failEmpty, "no choice holds text")
	}
}

func (x *exchange) readStream(body io.Reader, start time.Time) {
	e := newEvents(body)
	for {
		data, err := e.next()
		at := time.Since(start)
		switch {
		case errors.Is(err, io.EOF):
			x.fail(failCut, "the stream ended without [DONE], after %d pieces", len(x.chunks))
			return
		case err != nil:
			x.fail(failCut, "%v, after %d pieces", err, len(x.chunks))
			return
		}
		if string(data) == "[DONE]" {
			break
		}
		var r answer
		if err := json.Unmarshal(data, &r); err != nil {
			x.fail(failFormat, "%v: %.200s", err, data)
			return
		}
		if len(r.Error) > 0 && string(r.Error) != "null" {
			x.fail(failStream, "%.300s", r.Error)
			return
		}
		x.take(&r)
		if r.text() {
			x.chunks = append(x.chunks, at)
		}
	}
	if x.completion == 0 {
		x.completion, x.estimated = len(x.chunks), true
	}
	if x.completion == 0 {
		x.fail(failEmpty, "the stream ended without text")
	}
}
