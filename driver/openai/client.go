package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"

	"dlm"
	"dlm/internal/remote"
)

// maxAnswer is the most that is read of an answer that is no stream, in bytes.
const maxAnswer = 256 << 20

// do sends a request and returns the body of a good answer; else a fault with
// the server's own reason. Nothing is asked twice.
func (e *Engine) do(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return nil, dlm.Faultf(dlm.FaultRequest, "", "the request: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, e.o.URL+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if raw != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if e.o.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+e.o.APIKey)
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return nil, remote.Transport(ctx, e.o.Name, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	f := remote.Refused(e.o.Name, resp)
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		f = dlm.Faultf(f.Kind, "", "%w (the key in api_key_env is the gateway's, not the caller's)", f.Err)
	}
	return nil, f
}

// call asks for an answer that is one JSON object.
func (e *Engine) call(ctx context.Context, method, path string, body, into any) error {
	r, err := e.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, maxAnswer))
	if err != nil {
		return remote.Transport(ctx, e.o.Name, err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return dlm.Faultf(dlm.FaultUpstream, "", "%s: the answer to %s is not what was expected (%w): %s", e.o.Name, path, err, remote.OneLine(string(raw), 200))
	}
	return nil
}
