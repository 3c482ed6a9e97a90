package kernel

// pause waits n times for the pipeline to empty.
//
//go:noescape
func pause(n int)
