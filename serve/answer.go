package serve

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"dlm"
	"dlm/serve/openai"
)

// httpError is an error that only HTTP knows.
type httpError struct {
	status int
	*dlm.Fault
}

// Unwrap returns the fault, which the body is made of.
func (e *httpError) Unwrap() error { return e.Fault }

func notFound(format string, args ...any) error {
	return &httpError{http.StatusNotFound, dlm.Faultf(dlm.FaultRequest, "", format, args...)}
}

func wrongMethod(method, path string) error {
	return &httpError{http.StatusMethodNotAllowed, dlm.Faultf(dlm.FaultRequest, "", "%s does not take %s", path, method)}
}

func statusOf(err error) int {
	var h *httpError
	if errors.As(err, &h) {
		return h.status
	}
	return openai.Status(err)
}

// seconds rounds up to whole ones: Retry-After has no others.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}

// requestID is the client's own name of its request where it is a plain one, or a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	ok := len(id) > 0 && len(id) <= 128
	for i := 0; ok && i < len(id); i++ {
		c := id[i]
		ok = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.'
	}
	if ok {
		return id
	}
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// body reads the request's body: not more than is allowed, and not for longer.
func (x *exchange) body() ([]byte, error) {
	most := x.limits.Body
	if most <= 0 {
		most = DefaultBody
	}
	if x.r.ContentLength > most {
		return nil, dlm.Faultf(dlm.FaultTooLarge, "", "the body has %d bytes; at most %d are taken", x.r.ContentLength, most)
	}
	// Not every connection has a deadline. net/http takes it off at the body's end.
	_ = x.rc.SetReadDeadline(time.Now().Add(x.s.o.BodyTime))
	b, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, most))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, dlm.Faultf(dlm.FaultTooLarge, "", "the body has more than %d bytes", most)
	case isTimeout(err):
		return nil, &httpError{http.StatusRequestTimeout, dlm.Faultf(dlm.FaultRequest, "", "the body did not come within %v", x.s.o.BodyTime)}
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	return b, nil
}

// DefaultBody is how many bytes a body may have where a grant does not say.
const DefaultBody = 8 << 20

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// json answers with v.
func (x *exchange) json(status int, v any) error {
	var b bytes.Buffer
	if err := encode(&b, v); err != nil {
		return err
	}
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	return x.write(status, b.Bytes())
}

// write sends a whole answer, to a client that takes it in time.
func (x *exchange) write(status int, b []byte) error {
	_ = x.rc.SetWriteDeadline(time.Now().Add(x.s.o.Stall))
	x.headed, x.out.Status = true, status
	x.w.WriteHeader(status)
	if _, err := x.w.Write(b); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if err := x.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	_ = x.rc.SetWriteDeadline(time.Time{})
	return nil
}

// encode writes JSON without escaping what only matters inside HTML.
func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
