package serve

import (
	"net/http"
	"slices"

	"dlm"
)

// crossOrigin lets web pages of Options.Origins ask, and no others. A browser by
// itself keeps another page from reading answers, but not from asking: a server on
// loopback without keys would load adapters for every page that its user visits.
// So what changes or computes is refused to pages that are not named.
func (s *Server) crossOrigin(next http.Handler) http.Handler {
	foreign := s.exchanged("unknown", func(x *exchange) error {
		return dlm.Faultf(dlm.FaultForbidden, "", "web pages of %s may not ask here; the server's allowed origins do not name it", x.r.Header.Get("Origin"))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if origin == "" {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Add("Vary", "Origin")
		if !slices.Contains(s.o.Origins, origin) && !slices.Contains(s.o.Origins, "*") {
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				foreign.ServeHTTP(w, r)
				return
			}
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
