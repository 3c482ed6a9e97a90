//go:build !unix

package train

// lock does nothing where there is no flock; the project's own lock remains.
func lock(string) (unlock func(), err error) { return func() {}, nil }
