package gate

import (
	"fmt"

	"dlm"
)

// Policy says what an inconclusive verdict means for the caller.
type Policy string

// The policies of gate.on_inconclusive.
const (
	Block  Policy = "block" // exit code 4; the default
	Warn   Policy = "warn"  // exit code 0, with a warning
	PassIt Policy = "pass"  // exit code 0
)

// Exit codes of a gate.
const (
	ExitPass         = 0
	ExitFail         = 3
	ExitInconclusive = 4
)

// ParsePolicy reads a policy; empty is Block.
func ParsePolicy(s string) (Policy, error) {
	switch p := Policy(s); p {
	case "":
		return Block, nil
	case Block, Warn, PassIt:
		return p, nil
	}
	return "", fmt.Errorf("gate.on_inconclusive: %q; expected block, warn or pass", s)
}

// Exit maps a verdict to the exit code and says whether the caller should print
// a warning. An outcome it does not know counts as a failure.
func Exit(v dlm.Verdict, p Policy) (code int, warn bool) {
	switch v.Outcome {
	case dlm.Pass:
		return ExitPass, false
	case dlm.Inconclusive:
		switch p {
		case Warn:
			return ExitPass, true
		case PassIt:
			return ExitPass, false
		}
		return ExitInconclusive, false
	}
	return ExitFail, false
}
