package serve

import (
	"net/http"
	"time"
)

// HTTPServer returns the server that h is to be run with. A client that sends
// its header slowly is cut off, and one that keeps a connection open unused. The
// times of bodies and answers are kept by [Server] itself, part by part: a limit
// on the whole would end long answers.
func HTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
}
