package dlm

import (
	"errors"
	"fmt"
	"time"
)

// FaultKind says with whom the cause of an error lies, so that a server can say
// so in its protocol's words.
type FaultKind string

// The kinds of fault.
const (
	FaultRequest     FaultKind = "request"     // it can never be answered as it is
	FaultAuth        FaultKind = "auth"        // nobody that is known asks
	FaultForbidden   FaultKind = "forbidden"   // who asks may not have this
	FaultUnknown     FaultKind = "unknown"     // no such base, adapter or alias
	FaultTooLarge    FaultKind = "too large"   // the request's bytes
	FaultLimit       FaultKind = "limit"       // a quota is used up; later it may be answered
	FaultBusy        FaultKind = "busy"        // no room, or going down; later it may be answered
	FaultUpstream    FaultKind = "upstream"    // another server failed
	FaultTimeout     FaultKind = "timeout"     // it took longer than it may
	FaultUnsupported FaultKind = "unsupported" // this engine cannot do that
)

// Fault is an error with a known kind.
type Fault struct {
	Kind  FaultKind
	Param string        // field of the request at fault, if one is
	Retry time.Duration // after which trying again may help; 0 = not known
	Err   error
}

// Faultf returns a fault with a text made as fmt.Errorf makes it.
func Faultf(kind FaultKind, param, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Param: param, Err: fmt.Errorf(format, args...)}
}

// Error is the cause's text.
func (f *Fault) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// FaultOf returns the kind of err, "" when it has none.
func FaultOf(err error) FaultKind {
	var f *Fault
	if errors.As(err, &f) {
		return f.Kind
	}
	return ""
}
