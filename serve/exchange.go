package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"dlm"
	"dlm/serve/openai"
)

// exchange is one request under way and what is known of it by now.
type exchange struct {
	s      *Server
	w      http.ResponseWriter
	r      *http.Request
	rc     *http.ResponseController
	id     string
	ctx    context.Context
	cancel context.CancelFunc

	call   Call
	grant  Grant
	limits Limits
	record Record // nil until begin
	target Target

	out    Outcome
	spent  int  // tokens
	headed bool // the status line is out
}

// exchanged makes a handler of f: who asks is known, what f returns becomes an
// error's body, a panic too, and the observer is told how it ended.
func (s *Server) exchanged(endpoint string, f func(*exchange) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.running.Add(1)
		defer s.running.Add(-1)
		x := &exchange{s: s, w: w, r: r, rc: http.NewResponseController(w), id: requestID(r), call: Call{Endpoint: endpoint}}
		x.call.ID = x.id
		x.ctx, x.cancel = context.WithCancel(r.Context())
		defer x.cancel()
		if r.ContentLength != 0 {
			// A refusal does not read the body, but net/http does before it lets the
			// refusal go: who has no key must not hold a connection for ever.
			_ = x.rc.SetReadDeadline(time.Now().Add(s.o.BodyTime))
		}
		w.Header().Set("X-Request-Id", x.id)
		x.end(x.run(f))
	})
}

// run does the work and turns a panic into an error.
func (x *exchange) run(f func(*exchange) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = caught(p)
		}
	}()
	if x.s.draining.Load() {
		return &dlm.Fault{Kind: dlm.FaultBusy, Retry: 5 * time.Second, Err: errors.New("this server is going down; try again")}
	}
	if x.grant, err = x.s.o.Guard.Admit(x.r); err != nil {
		return err
	}
	x.call.Tenant, x.limits = x.grant.Tenant(), x.grant.Limits()
	if x.limits.Time > 0 {
		late := dlm.Faultf(dlm.FaultTimeout, "", "the request took longer than %v; ask for fewer tokens, or stream", x.limits.Time)
		var stop context.CancelFunc
		x.ctx, stop = context.WithTimeoutCause(x.ctx, x.limits.Time, late)
		defer stop()
	}
	err = f(x)
	if err != nil {
		err = x.cause(err) // while the clock still stands as it did
	}
	return err
}

// panicked is a panic as an error.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

func caught(p any) error { return &panicked{p, debug.Stack()} }

// errGone is the cause when nobody waits for the answer any longer.
var errGone = errors.New("the client went away")

// statusGone is what proxies log for it; nobody is sent it.
const statusGone = 499

// cause says why err came about where a context only says that it ended.
func (x *exchange) cause(err error) error {
	var h *httpError
	if errors.As(err, &h) { // a body that is late ends the request's context too
		return err
	}
	if x.r.Context().Err() != nil {
		return errGone
	}
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if c := context.Cause(x.ctx); dlm.FaultOf(c) == dlm.FaultTimeout {
		return c
	}
	if errors.Is(err, context.DeadlineExceeded) && dlm.FaultOf(err) == "" {
		return dlm.Faultf(dlm.FaultTimeout, "", "an engine did not answer in time")
	}
	return err
}

// begin tells the observer what is asked.
func (x *exchange) begin() {
	if x.record == nil {
		x.ctx, x.record = x.s.o.Observer.Begin(x.r.WithContext(x.ctx), x.call)
	}
}

// route finds what the model's name means and whether who asks may have it, and
// says so in the answer's headers.
func (x *exchange) route(model, sticky string) error {
	x.begin()
	var err error
	if x.target, err = x.s.o.Router.Route(x.ctx, Query{Model: model, Sticky: sticky, Allows: x.grant.Allows}); err != nil {
		return err
	}
	x.record.Route(x.target)
	if !x.grant.Allows(x.target.Name) {
		x.target = Target{}
		return dlm.Faultf(dlm.FaultForbidden, "model", "this key may not use %s", model)
	}
	x.target.head(x.w.Header())
	return nil
}

// head says what answers, in an answer's headers.
func (t *Target) head(h http.Header) {
	name := t.Name
	if t.Alias != "" {
		name += "@" + t.Alias
	}
	adapter := string(t.Adapter)
	if adapter == "" && t.Ref == "" {
		adapter = "base"
	}
	for _, f := range [][2]string{{"Model", name}, {"Adapter", adapter}, {"Base", string(t.Base)}, {"Template", t.Template}, {"Engine", t.Engine}} {
		if f[1] != "" {
			h.Set("X-Dlm-"+f[0], f[1])
		}
	}
}

// end answers with the error, if there is one, and closes the books.
func (x *exchange) end(err error) {
	if x.grant != nil {
		x.grant.Close(x.spent)
	}
	x.begin()
	x.out.Err = err
	switch {
	case err == nil:
		if x.out.Status == 0 {
			x.out.Status = http.StatusOK
		}
	case errors.Is(err, errGone):
		x.out.Status = statusGone
	default:
		x.out.Status = statusOf(err)
		x.note(err)
		x.refuse(err)
	}
	x.record.End(x.out)
}

// note logs what is nobody's fault but ours; the client is told only its id.
func (x *exchange) note(err error) {
	if x.out.Status != http.StatusInternalServerError {
		return
	}
	args := []any{"request", x.id, "endpoint", x.call.Endpoint, "model", x.target.Model, "error", err}
	var p *panicked
	if errors.As(err, &p) {
		args = append(args, "stack", string(p.stack))
	}
	x.s.o.Log.Error("a request failed", args...)
}

// refuse writes an error: as the answer, or as the last event of one begun.
func (x *exchange) refuse(err error) {
	body := openai.ErrorOf(err, x.id)
	if x.headed {
		if x.call.Stream {
			_ = x.event(body)
		}
		return
	}
	h := x.w.Header()
	var f *dlm.Fault
	if errors.As(err, &f) && (f.Kind == dlm.FaultLimit || f.Kind == dlm.FaultBusy) {
		h.Set("Retry-After", seconds(f.Retry))
	}
	if x.out.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if x.out.Status == http.StatusRequestEntityTooLarge {
		h.Set("Connection", "close") // the rest of the body is not read
	}
	_ = x.json(x.out.Status, body)
}
