//go:build !unix

package trl

import (
	"context"
	"errors"
)

// errNoLocal is the error of a system without the locks and sessions that a
// detached program needs.
var errNoLocal = errors.New("training with TRL on this machine works on Linux and macOS; use WSL, or another place (trl.where)")

// Local runs the program on this machine: not on this system.
type Local struct{}

// NewLocal is this machine as a place.
func NewLocal() *Local { return &Local{} }

// Name is "this machine".
func (l *Local) Name() string { return "this machine" }

// Begin refuses.
func (l *Local) Begin(context.Context, Bundle) (Begun, error) { return Begun{}, errNoLocal }

// Poll finds nothing.
func (l *Local) Poll(context.Context, Bundle, int64) ([]byte, bool, error) { return nil, false, nil }

// Put refuses.
func (l *Local) Put(context.Context, Bundle, string, []byte) error { return errNoLocal }

// Fetch refuses.
func (l *Local) Fetch(context.Context, Bundle) error { return errNoLocal }

// LastWords has none.
func (l *Local) LastWords(context.Context, Bundle) (text, ended string, err error) {
	return "", "", nil
}

// Kill refuses.
func (l *Local) Kill(context.Context, Bundle) error { return errNoLocal }
