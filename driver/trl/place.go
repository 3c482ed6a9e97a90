package trl

import "context"

// StopFile is the file in a bundle whose presence asks the program to write a
// checkpoint and to end.
const StopFile = "stop"

// Begun is what Place.Begin found or did.
type Begun struct {
	Attached bool   // the program was running already
	Note     string // for the user, where there is something to say
}

// Place is where the training program runs. Its methods are called from one
// goroutine; a name is a slash-separated path inside of the bundle.
type Place interface {
	// Name says where that is, for people: "this machine".
	Name() string
	// Begin brings the bundle there as far as it is missing and starts the
	// program detached, or finds that it runs already. Before a start it removes
	// the stop file and unanswered rewards of an earlier one. It never starts a
	// second program on one bundle.
	Begin(ctx context.Context, b Bundle) (Begun, error)
	// Poll returns what events.jsonl holds from offset on (a part of it, where
	// there is much), and whether the program was running just before that was
	// read. It is called before Begin too, for what an earlier call left; where
	// nothing is, that is nothing and no error.
	Poll(ctx context.Context, b Bundle, offset int64) (chunk []byte, running bool, err error)
	// Put writes a file of the bundle there, whole or not at all: the stop file,
	// the rewards of a rollout.
	Put(ctx context.Context, b Bundle, name string, data []byte) error
	// Fetch brings out/ back into Bundle.Dir once the program is done.
	Fetch(ctx context.Context, b Bundle) error
	// LastWords returns the end of what the program wrote to its standard error,
	// and how it ended where that is known ("signal: killed").
	LastWords(ctx context.Context, b Bundle) (text, ended string, err error)
	// Kill ends the program and what it started, at once.
	Kill(ctx context.Context, b Bundle) error
}
