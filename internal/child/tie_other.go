//go:build !linux

package child

import (
	"os"
	"os/exec"
)

// tie does nothing: a child ends with Close alone.
func tie(*exec.Cmd) (unlock func()) { return func() {} }

// end asks the child to end, or ends it.
func end(p *os.Process, hard bool) {
	if hard || p.Signal(os.Interrupt) != nil {
		_ = p.Kill() // gone already: nothing to do
	}
}
