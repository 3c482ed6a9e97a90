package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"dlm"
)

// maxReason is how much of a refusal is read, in bytes.
const maxReason = 64 << 10

// Refused is the fault of an answer that is none, with the server's own reason.
// who names the server; model is what was asked, for a server that does not know it.
func Refused(who string, resp *http.Response) *dlm.Fault {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxReason)) // what came is what can be told
	why, param := Reason(raw, resp.Status)
	f := dlm.Faultf(Status(resp.StatusCode), param, "%s answered %d: %s", who, resp.StatusCode, why)
	f.Retry = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	return f
}

// Status says with whom the cause of an HTTP status lies. Credentials that the
// server does not take are not the caller's: the gateway's operator set them.
func Status(code int) dlm.FaultKind {
	switch code {
	case http.StatusNotFound:
		return dlm.FaultUnknown
	case http.StatusRequestEntityTooLarge:
		return dlm.FaultTooLarge
	case http.StatusTooManyRequests:
		return dlm.FaultLimit
	case http.StatusServiceUnavailable:
		return dlm.FaultBusy
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return dlm.FaultTimeout
	case http.StatusNotImplemented:
		return dlm.FaultUnsupported
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return dlm.FaultRequest
	}
	return dlm.FaultUpstream
}

// Reason finds the message and the field at fault in an error's body: OpenAI's
// form, Ollama's, FastAPI's, or text.
func Reason(raw []byte, fallback string) (message, param string) {
	var body struct {
		Error   json.RawMessage `json:"error"`
		Detail  json.RawMessage `json:"detail"`
		Message string          `json:"message"`
	}
	if json.Unmarshal(raw, &body) == nil {
		for _, m := range []json.RawMessage{body.Error, body.Detail} {
			var text string
			var object struct {
				Message string `json:"message"`
				Param   any    `json:"param"`
			}
			switch {
			case len(m) == 0 || string(m) == "null":
			case json.Unmarshal(m, &text) == nil:
				return text, ""
			case json.Unmarshal(m, &object) == nil && object.Message != "":
				p, _ := object.Param.(string)
				return object.Message, p
			default:
				return OneLine(string(m), 300), ""
			}
		}
		if body.Message != "" {
			return body.Message, ""
		}
	}
	if text := OneLine(string(raw), 300); text != "" {
		return fallback + ": " + text, ""
	}
	return fallback, ""
}

// retryAfter reads the header: seconds, or a date. 0 = it says nothing.
func retryAfter(h string, now time.Time) time.Duration {
	if s, err := strconv.ParseFloat(h, 64); err == nil && s > 0 && s < 1e6 {
		return time.Duration(s * float64(time.Second))
	}
	if t, err := http.ParseTime(h); err == nil && t.After(now) {
		return t.Sub(now).Round(time.Second)
	}
	return 0
}

// Transport makes an error on the way to a server a fault of it. An ended
// context stays what it is.
func Transport(ctx context.Context, who string, err error) error {
	var known *dlm.Fault
	var wait net.Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &known):
		return err
	case errors.As(err, &wait) && wait.Timeout():
		return dlm.Faultf(dlm.FaultTimeout, "", "%s: %w", who, err)
	}
	return dlm.Faultf(dlm.FaultUpstream, "", "%s: %w", who, err)
}

// Unsupported is the fault of a field that a server cannot be asked.
func Unsupported(who, param, why string, args ...any) *dlm.Fault {
	return dlm.Faultf(dlm.FaultUnsupported, param, "%s: %s: %s", param, who, fmt.Sprintf(why, args...))
}

// OneLine puts a text on one line and cuts it to n bytes.
func OneLine(s string, n int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + " ..."
	}
	return s
}
