package kernel

// pause executes PAUSE n times.
//
//go:noescape
func pause(n int)
