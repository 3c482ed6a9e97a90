package vllm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"dlm"
	"dlm/internal/remote"
)

// apiError is what vLLM said no with.
type apiError struct {
	Status  int
	Message string
}

// Error is vLLM's own reason.
func (e *apiError) Error() string {
	hint := ""
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		hint = " (name the variable that holds the key in vllm.api_key_env)"
	}
	return fmt.Sprintf("vLLM refused: %s%s", e.Message, hint)
}

func newClient(parallel int) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	t.MaxIdleConnsPerHost = parallel
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	return &http.Client{Transport: t}
}

// pauses between attempts on a server that cannot be reached.
var pauses = []time.Duration{100 * time.Millisecond, 400 * time.Millisecond, 1500 * time.Millisecond}

// do sends a request and returns the answer's body when its status is 200. Only
// a connection that fails before an answer comes is tried again.
func (e *Engine) do(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	for attempt := 0; ; attempt++ {
		resp, err := e.once(ctx, method, path, raw)
		if err == nil {
			if resp.StatusCode == http.StatusOK {
				return resp.Body, nil
			}
			defer resp.Body.Close()
			return nil, refusal(resp)
		}
		if attempt == len(pauses) || !isConnection(err) || ctx.Err() != nil || e.child != nil && e.child.ended() {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pauses[attempt]):
		}
	}
}

func (e *Engine) once(ctx context.Context, method, path string, raw []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, e.url+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if raw != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if e.key != "" {
		req.Header.Set("Authorization", "Bearer "+e.key)
	}
	return e.http.Do(req)
}

func (e *Engine) get(ctx context.Context, path string, into any) error {
	return e.call(ctx, http.MethodGet, path, nil, into)
}

// maxAnswer is the most that is read of an answer that is no stream, in bytes.
const maxAnswer = 256 << 20

func (e *Engine) call(ctx context.Context, method, path string, body, into any) error {
	r, err := e.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, maxAnswer))
	if err != nil {
		return fmt.Errorf("vLLM's answer to %s broke off: %w", path, err)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("vLLM's answer to %s is not what was expected (%w): %s", path, err, remote.OneLine(string(raw), 200))
	}
	return nil
}

// refusal reads vLLM's reason out of an answer.
func refusal(resp *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return refused(resp.StatusCode, raw, resp.Status)
}

// refused is a fault with vLLM's own reason.
func refused(status int, raw []byte, fallback string) error {
	why, param := remote.Reason(raw, fallback)
	return &dlm.Fault{Kind: remote.Status(status), Param: param, Err: &apiError{status, why}}
}

// isEngineDead says that the part of vLLM that computes has died, which the part
// that answers knows first.
func isEngineDead(err error) bool {
	var a *apiError
	return errors.As(err, &a) && a.Status == http.StatusInternalServerError && strings.Contains(a.Message, "EngineCore")
}

// isConnection says whether err is of the way to the server, not of its answer.
func isConnection(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
}
