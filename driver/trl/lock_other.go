//go:build !unix

package trl

// lock is for systems with flock; elsewhere the project's own lock must do.
func lock(string) (unlock func(), err error) { return func() {}, nil }

func lockFile(string, string) (unlock func(), err error) { return func() {}, nil }
