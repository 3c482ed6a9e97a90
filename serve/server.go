package serve

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// Options are what a server is made of.
type Options struct {
	Router   Router
	Guard    Guard
	Observer Observer // nil = nothing is counted

	Version string       // of dlm, for /version
	Log     *slog.Logger // of what goes wrong; nil = slog's default
	Text    bool         // tell the observer what prompts and completions say
	Origins []string     // web pages that may ask, "*" = all; none by default

	BodyTime time.Duration // in which a body must have come; 0 = 30 s
	Stall    time.Duration // for which a client may take nothing of what is written to it; 0 = 30 s
}

// Server answers the HTTP API.
type Server struct {
	o        Options
	routes   http.Handler
	draining atomic.Bool
	running  atomic.Int64
}

// New returns a server that is ready to answer.
func New(o Options) (*Server, error) {
	if o.Router == nil || o.Guard == nil {
		return nil, fmt.Errorf("a server needs a router and a guard: without them it would not know what to answer, or whom")
	}
	if o.Observer == nil {
		o.Observer = blind{}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.BodyTime == 0 {
		o.BodyTime = 30 * time.Second
	}
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	s := &Server{o: o}
	s.routes = s.crossOrigin(s.mux())
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.routes.ServeHTTP(w, r) }

// methods are the handlers of one path.
type methods map[string]http.Handler

func (s *Server) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for path, m := range s.paths() {
		mux.Handle(path, s.byMethod(m))
	}
	mux.Handle("/", s.exchanged("unknown", func(x *exchange) error {
		return notFound("no such endpoint: %s; docs/API.md lists them", x.r.URL.Path)
	}))
	return mux
}

func (s *Server) paths() map[string]methods {
	post := func(endpoint string, f func(*exchange) error) methods {
		return methods{http.MethodPost: s.exchanged(endpoint, f)}
	}
	get := func(endpoint string, f func(*exchange) error) methods {
		return methods{http.MethodGet: s.exchanged(endpoint, f)}
	}
	plain := func(f http.HandlerFunc) methods { return methods{http.MethodGet: f} }
	return map[string]methods{
		"/v1/chat/completions":    post("chat", chat),
		"/v1/completions":         post("completions", completions),
		"/v1/embeddings":          post("embeddings", embeddings),
		"/v1/models":              get("models", models),
		"/v1/models/{id...}":      get("models", model),
		"/tokenize":               post("tokenize", tokenize),
		"/detokenize":             post("detokenize", detokenize),
		"/v1/tokenize":            post("tokenize", tokenize),
		"/v1/detokenize":          post("detokenize", detokenize),
		"/v1/load_lora_adapter":   post("load", loadAdapter),
		"/v1/unload_lora_adapter": post("unload", unloadAdapter),
		"/admin/refresh":          post("refresh", refresh),
		"/healthz":                plain(s.healthz),
		"/health":                 plain(s.healthz), // vLLM's name of it
		"/readyz":                 plain(s.readyz),
		"/version":                plain(s.version),
		"/metrics":                {http.MethodGet: s.o.Observer.Handler()},
	}
}

// byMethod picks the handler; HEAD is GET without a body.
func (s *Server) byMethod(m methods) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		h, ok := m[method]
		if !ok {
			for allowed := range m {
				w.Header().Set("Allow", allowed)
			}
			h = s.exchanged("unknown", func(*exchange) error { return wrongMethod(r.Method, r.URL.Path) })
		}
		h.ServeHTTP(w, r)
	})
}

// Drain refuses requests from now on; those under way go on. /readyz says so, so
// that a load balancer looks elsewhere.
func (s *Server) Drain() { s.draining.Store(true) }

// Running is how many requests are under way.
func (s *Server) Running() int { return int(s.running.Load()) }
