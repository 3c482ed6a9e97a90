package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"dlm/lifecycle"
	"dlm/serve"
	"dlm/serve/route"
	"dlm/serve/tenant"
	"dlm/serve/watch"
)

// serveCmd answers OpenAI's API with the project's adapters.
type serveCmd struct {
	setFlags
	Addr          string           `help:"Where to listen (default: 127.0.0.1:8080; elsewhere than on this machine only with a key)." placeholder:"HOST:PORT"`
	Base          string           `help:"Serve this base instead of the project, without its registry." placeholder:"REF"`
	BaseName      string           `help:"What requests call the base (default: its own name)." placeholder:"NAME"`
	Lora          []string         `help:"An adapter folder under a name. May be given several times." placeholder:"NAME=DIR" sep:"none"`
	Quantize      string           `enum:",none,nf4" default:"" help:"Quantise a base of 16 or 32 bits as it is loaded: nf4 or none (default: as the project says, else none)." placeholder:"TYPE"`
	Precision     string           `enum:"bf16,f32" default:"bf16" help:"Precision of multiply operands: bf16 or f32."`
	MaxITL        *time.Duration   `name:"max-itl" help:"As long as a step may take while somebody waits for the next token: fewer prompt tokens a step (default: 0, no matter)." placeholder:"TIME"`
	Cache         *lifecycle.Bytes `help:"Memory of keys and values (default: what the sequences need, at most 1GiB)." placeholder:"SIZE"`
	AdapterMemory *lifecycle.Bytes `help:"Memory of adapters that are neither in use nor pinned (default: 1GiB)." placeholder:"SIZE"`
	MaxSequences  int              `help:"Sequences in a batch (default: 32)." placeholder:"N"`
	MaxQueue      int              `help:"Sequences that may wait for a place; more are refused with 503 (default: any number)." placeholder:"N"`
	OwnPrefixes   bool             `help:"Compute what prompts begin with alike once a tenant, not once for all: how soon an answer comes tells nobody what others have asked."`
	Draft         *int             `help:"Tokens guessed ahead, where it pays, and verified in one step; changes no answer (default: 7; 0 is off)." placeholder:"N"`
	Keys          string           `type:"path" help:"File of API keys (default: the project's serve.keys, else .dlm/keys.json)." placeholder:"FILE"`
	Drain         *time.Duration   `help:"That requests under way have when it is told to end (default: 30s)." placeholder:"TIME"`
	Log           string           `help:"File of the access log, or none (default: standard error)." placeholder:"FILE"`
	LogPrompts    bool             `help:"Access log and traces hold the texts of prompts and completions."`
	OTel          string           `name:"otel" help:"Address of an OpenTelemetry collector (default: OTEL_EXPORTER_OTLP_ENDPOINT, else no traces)." placeholder:"URL"`
	Upstream      []string         `help:"A server that answers besides the native engine: gpu=vllm:http://gpu-box:8000; kinds: openai, vllm, ollama, llamacpp. May be given several times." placeholder:"NAME=KIND:URL" sep:"none"`
	NoNative      bool             `help:"Load no base: upstreams alone answer."`
}

// Run serves until it is told to end, then lets requests under way finish.
func (c *serveCmd) Run(a *app) error {
	set, err := c.settings(a)
	if err != nil {
		return err
	}
	guard, err := tenant.NewGuard(tenant.Options{File: tenant.File{Path: set.keys}, Limits: set.limits, Note: func(err error) { a.notef("%v", err) }})
	if err != nil {
		return err
	}
	if err := guard.CheckBind(set.Addr); err != nil {
		return err
	}
	log, logged, err := a.openLog(set.Log.File)
	if err != nil {
		return err
	}
	// The address is taken before the base is loaded: one that is in use is said at
	// once, and who asks meanwhile is told to wait.
	l, err := net.Listen("tcp", set.Addr)
	if err != nil {
		return fmt.Errorf("addr %s: %w", set.Addr, err)
	}
	defer l.Close()
	front := &front{}
	server := serve.HTTPServer(front)
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	defer server.Close()

	g, err := a.gateway(set, guard, log, logged)
	if err != nil {
		return err
	}
	defer g.stop()
	front.open(g.server)
	if err := g.catalog.Warm(a.ctx); err != nil {
		return err
	}
	if err := a.announce(g, set, l.Addr()); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-a.ctx.Done():
	}
	return a.drain(g.server, server, time.Duration(set.Drain))
}

// front answers until the base is loaded, and hands over then.
type front struct{ ready atomic.Pointer[serve.Server] }

func (f *front) open(s *serve.Server) { f.ready.Store(s) }

// ServeHTTP answers one request.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s := f.ready.Load(); s != nil {
		s.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/healthz" || r.URL.Path == "/health" {
		_, _ = io.WriteString(w, `{"status":"ok"}`+"\n")
		return
	}
	w.Header().Set("Retry-After", "2")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, `{"error":{"message":"the base is being loaded; try again soon","type":"service_unavailable","param":null,"code":"loading"}}`+"\n")
}

// gateway is everything that runs while requests are answered.
type gateway struct {
	server  *serve.Server
	catalog *route.Catalog
	guard   *tenant.Guard
	watch   *watch.Watch
	engines []route.Engine
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// gateway loads the engines and puts the parts together.
func (a *app) gateway(set *serveSettings, guard *tenant.Guard, log, logged *slog.Logger) (*gateway, error) {
	g := &gateway{guard: guard}
	var seen []watch.Engine
	if set.native {
		e, w, err := a.nativeEngine(set)
		if err != nil {
			return nil, err
		}
		g.engines, seen = append(g.engines, e), append(seen, w)
	}
	ups, pools, err := a.upstreams(set)
	if err != nil {
		return nil, err
	}
	g.engines = append(g.engines, ups...)
	o := route.Options{Engines: g.engines, Static: set.loras, Log: log}
	if set.project != nil {
		s, err := a.store()
		if err != nil {
			return nil, err
		}
		o.Project, o.Store, o.State = set.project.Name, s, set.state
	}
	if g.catalog, err = route.New(o); err != nil {
		return nil, err
	}
	var tracing *watch.Tracing
	if set.OTel != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" {
		tracing, err = watch.NewTracing(a.ctx, watch.TraceOptions{Endpoint: set.OTel, Version: version(), Note: func(err error) { log.Warn("tracing", "error", err.Error()) }})
		if err != nil {
			return nil, err
		}
	}
	g.watch = watch.New(watch.Options{Version: version(), Engines: seen, Operator: g.catalog, Log: logged, Prompts: set.Log.Prompts, Tracing: tracing})
	g.server, err = serve.New(serve.Options{Router: g.catalog, Guard: guard, Observer: g.watch, Version: version(), Log: log, Text: set.Log.Prompts, Origins: set.Origins})
	if err != nil {
		return nil, err
	}
	// What runs beside the requests ends after them, not with the signal.
	ctx, cancel := context.WithCancel(context.WithoutCancel(a.ctx))
	g.cancel = cancel
	g.running.Go(func() { g.catalog.Run(ctx) })
	for _, p := range pools {
		g.running.Go(func() { p.Run(ctx) })
	}
	return g, nil
}

// stop ends what runs beside the requests and sends what traces are held.
func (g *gateway) stop() {
	g.cancel()
	g.running.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_ = g.watch.Close(ctx) // told to the log by the tracing itself
}

// openLog opens the log of what goes wrong, which is standard error, and that of
// requests; nil where there is none.
func (a *app) openLog(file string) (log, requests *slog.Logger, err error) {
	log = slog.New(slog.NewJSONHandler(&lines{w: a.stderr}, nil))
	switch file {
	case "":
		return log, log, nil
	case "none":
		return log, nil, nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("log: %w", err)
	}
	a.onClose(f.Close)
	return log, slog.New(slog.NewJSONHandler(f, nil)), nil
}

// lines writes one line at a time, from several goroutines and handlers.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// linger is how long a server that is done goes on listening.
const linger = 500 * time.Millisecond

// cutOff is how long what was cut off has to end.
const cutOff = 5 * time.Second

// drain refuses new requests and waits for those under way. It goes on listening
// meanwhile, so that who comes too late is told with a 503 to ask elsewhere.
func (a *app) drain(s *serve.Server, h *http.Server, patience time.Duration) error {
	s.Drain()
	if n := s.Running(); n > 0 {
		a.notef("ending: %d requests have up to %s; a second signal cuts them off", n, patience)
	}
	left := waitIdle(s, patience)
	if left == 0 {
		// Whoever had connected before the signal may not have been heard yet: closing
		// at once would cut them off. They are told to ask elsewhere.
		time.Sleep(linger)
		ctx, cancel := context.WithTimeout(context.Background(), cutOff)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		a.notef("ended: no request was cut off")
		return nil
	}
	h.Close()
	waitIdle(s, cutOff) // their contexts have ended
	return fmt.Errorf("%d requests were not done after %s and were cut off; --drain gives them longer", left, patience)
}

// waitIdle waits until no request is under way, and says how many are left.
func waitIdle(s *serve.Server, patience time.Duration) int {
	for end := time.Now().Add(patience); s.Running() > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	return s.Running()
}
