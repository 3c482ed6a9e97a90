package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// posting is one POST to the Hub's interface.
type posting struct {
	url     string
	kind    string // Content-Type; empty = JSON
	body    []byte
	headers []string // name, value, name, value ...
	into    any      // the answer's JSON, nil = not read
	bare    bool     // without the token
	once    bool     // a repetition could do harm: only what surely did not arrive is sent again
}

// post sends a posting, again where it is worth it.
func (h *Hub) post(ctx context.Context, r Ref, p posting) error {
	return h.retry(ctx, func(ctx context.Context) (bool, error) {
		err := h.postOnce(ctx, r, p)
		if err != nil && p.once {
			err = &finalError{err}
		}
		return false, err
	})
}

// finalError is one after which a request is not sent again.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

func (h *Hub) postOnce(ctx context.Context, r Ref, p posting) error {
	headers := append([]string{"Content-Type", "application/json"}, p.headers...)
	if p.kind != "" {
		headers[1] = p.kind
	}
	resp, err := h.exchange(ctx, h.api, call{method: http.MethodPost, url: p.url, body: bytes.NewReader(p.body), size: int64(len(p.body)), bare: p.bare}, headers...)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return h.failed(resp, r)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return &reachError{resp.Request.URL.Host, err}
	}
	if p.into == nil {
		return nil
	}
	if len(body) > maxAnswer || json.Unmarshal(body, p.into) != nil {
		return &answerError{msg: fmt.Sprintf("%s does not speak the Hub's protocol: its answer is not the JSON expected (%.40q); a login page or a proxy may stand in between", resp.Request.URL.Host, body)}
	}
	return nil
}

// encode makes JSON of a value that surely has one.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // structs of texts and numbers
	}
	return b
}
