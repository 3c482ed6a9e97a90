package grammar

import "errors"

// What is wrong with a grammar; errors say where, too.
var (
	errTooLarge    = errors.New("it needs too many states; use a shorter expression, fewer properties, or smaller bounds")
	errUnmet       = errors.New("no text can meet it")
	errUnsupported = errors.New("it cannot be enforced here, so it is refused")
)

// ErrTooComplex is why a matcher gave up: what the text could be at one place is
// too much to follow.
var ErrTooComplex = errors.New("the format's grammar is too ambiguous to follow at this place; make the schema or expression simpler")
