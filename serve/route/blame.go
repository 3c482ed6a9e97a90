package route

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"dlm"
)

// longestRest is how long a server's word that it is busy counts at most.
const longestRest = 30 * time.Second

// blame is whose fault the end of a try was.
type blame int

const (
	caller   blame = iota // it was answered, or refused for what was asked
	nobody                // the caller left before it ended
	overload              // the server says that it has no room
	server                // the server failed, or could not be reached
)

// verdict is what a try's end means.
type verdict struct {
	blame blame
	retry bool // may be made again, if nothing was passed on
	rest  time.Duration
	err   error // for the caller
}

// judge says what the end of a try means.
func judge(ctx context.Context, upstream string, err error) verdict {
	switch {
	case err == nil:
		return verdict{blame: caller}
	case ctx.Err() != nil:
		return verdict{blame: nobody, err: err}
	}
	var f *dlm.Fault
	if !errors.As(err, &f) {
		if unreachable(err) {
			return verdict{blame: server, retry: true, err: dlm.Faultf(dlm.FaultUpstream, "", "upstream %s: %w", upstream, err)}
		}
		return verdict{blame: caller, err: err}
	}
	switch f.Kind {
	case dlm.FaultUpstream:
		return verdict{blame: server, retry: true, err: err}
	case dlm.FaultTimeout:
		return verdict{blame: server, err: err} // it took its time already
	case dlm.FaultBusy, dlm.FaultLimit:
		// Whoever has a quota there is the gateway: to the caller it is a lack of room.
		busy := &dlm.Fault{Kind: dlm.FaultBusy, Retry: f.Retry, Err: err}
		if f.Retry > 0 {
			return verdict{blame: overload, retry: true, rest: f.Retry, err: busy}
		}
		return verdict{blame: server, retry: true, err: busy}
	case dlm.FaultAuth, dlm.FaultForbidden:
		return verdict{blame: server, err: dlm.Faultf(dlm.FaultUpstream, "", "upstream %s refuses the gateway's own key (api_key_env in dlm.yaml): %w", upstream, err)}
	}
	return verdict{blame: caller, err: err}
}

// unreachable says whether an error without a kind is of the connection.
func unreachable(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNREFUSED) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}
