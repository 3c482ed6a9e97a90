package serve

import (
	"net/http"
	"slices"
)

// crossOrigin lets web pages of Options.Origins ask. Without any, a browser keeps
// pages of other origins away, which is what protects a server on loopback
// without keys from every page its user visits.
func (s *Server) crossOrigin(next http.Handler) http.Handler {
	if len(s.o.Origins) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		h := w.Header()
		h.Add("Vary", "Origin")
		if origin == "" || !slices.Contains(s.o.Origins, origin) && !slices.Contains(s.o.Origins, "*") {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "X-Request-Id, X-Dlm-Model, X-Dlm-Adapter, X-Dlm-Base, X-Dlm-Template, X-Dlm-Engine, X-Dlm-Seed, Retry-After")
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", "GET, POST")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Request-Id")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
