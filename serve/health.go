package serve

import (
	"net/http"
)

// healthz says that the process lives.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	s.state(w, http.StatusOK, map[string]any{"status": "ok"})
}

// readyz says whether requests would be answered now, and what is amiss even so.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	status, body := http.StatusOK, map[string]any{"status": "ready"}
	if err := s.o.Router.Ready(); err != nil {
		status, body = http.StatusServiceUnavailable, map[string]any{"status": "not ready", "reason": err.Error()}
	}
	if s.draining.Load() {
		status, body = http.StatusServiceUnavailable, map[string]any{"status": "draining", "running": s.Running()}
	}
	if o, ok := s.o.Router.(Operator); ok {
		if p := o.Problems(); len(p) > 0 {
			body["problems"] = p
		}
		if u := o.Upstreams(); len(u) > 0 {
			body["upstreams"] = u
		}
	}
	if status != http.StatusOK {
		w.Header().Set("Retry-After", "5")
	}
	s.state(w, status, body)
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request) {
	s.state(w, http.StatusOK, map[string]any{"version": s.o.Version})
}

func (s *Server) state(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = encode(w, body)
}
