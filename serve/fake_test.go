package serve

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"dlm"
	"dlm/internal/testkit"
)

const (
	fakeBase    = dlm.Digest("sha256:ba5eba5eba5e0000000000000000000000000000000000000000000000000000")
	fakeAdapter = dlm.Digest("sha256:ada97e100000000000000000000000000000000000000000000000000000000a")
)

// scripted is a generator whose completions are scripted: an id is a byte.
type scripted struct {
	text   string                            // of each completion, cut at max_tokens
	pause  time.Duration                     // between tokens
	hook   func([]dlm.GenerateRequest) error // before the first
	during func(i, token int)                // before each token
	mu     sync.Mutex
	seen   []dlm.GenerateRequest
	active int
	ended  int
}

func (g *scripted) Generate(ctx context.Context, reqs []dlm.GenerateRequest, emit func(int, dlm.Token)) ([]dlm.Completion, error) {
	g.mu.Lock()
	g.seen = append(g.seen, reqs...)
	g.active++
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.active--
		g.ended++
		g.mu.Unlock()
	}()
	if g.hook != nil {
		if err := g.hook(reqs); err != nil {
			return nil, err
		}
	}
	out := make([]dlm.Completion, len(reqs))
	for i, r := range reqs {
		ids := r.IDs
		if ids == nil {
			ids, _ = testkit.ByteCodec{}.Prompt(r.Messages, r.Raw)
		}
		out[i] = dlm.Completion{PromptTokens: len(ids), Cached: 1, Finish: "length", Queued: time.Millisecond}
		if r.PromptLogProbs {
			for k, id := range ids {
				t := probable(id, r.TopLogProbs)
				if k == 0 {
					t.LogProb, t.Top = 0, nil
				}
				out[i].Prompt = append(out[i].Prompt, t)
			}
		}
	}
	for k := 0; ; k++ {
		more := false
		for i, r := range reqs {
			if r.PromptOnly || out[i].Finish == "stop" || r.Sampling.MaxTokens > 0 && k >= r.Sampling.MaxTokens {
				continue
			}
			if k == len(g.text) {
				out[i].Finish = "stop"
				end := dlm.Token{ID: testkit.ByteEnd, Bytes: []byte("<|im_end|>"), LogProb: -0.5}
				out[i].Tokens = append(out[i].Tokens, end)
				emit(i, end)
				continue
			}
			if g.during != nil {
				g.during(i, k)
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(g.pause):
			}
			t := probable(int32(g.text[k]), r.TopLogProbs)
			out[i].Text += t.Text
			out[i].Tokens = append(out[i].Tokens, t)
			emit(i, t)
			more = true
		}
		if !more {
			return out, nil
		}
	}
}

// probable is a token with the log-probability -0.25 and the likelier alternative "~".
func probable(id int32, top int) dlm.Token {
	t := dlm.Token{ID: id, Text: string(id), LogProb: -0.25}
	if top > 0 {
		t.Bytes = []byte{byte(id)}
		t.Top = []dlm.Alternative{{ID: '~', Bytes: []byte("~"), LogProb: -0.125}, {ID: id, Bytes: t.Bytes, LogProb: -0.25}}
		t.Top = t.Top[:min(top, 2)]
	}
	return t
}

func (g *scripted) counts() (active, ended int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.active, g.ended
}

// names is a router of one base and one adapter with the alias prod.
type names struct {
	gen    dlm.Generator
	target func(*Target)
	ready  error
	mu     sync.Mutex
	loaded map[string]string
}

func (n *names) Route(_ context.Context, q Query) (Target, error) {
	t := Target{Model: q.Model, Name: "base", Base: fakeBase, Template: "tmpl", Engine: "fake", Generator: n.gen, Codec: testkit.ByteCodec{}}
	switch q.Model {
	case "base":
	case "bank", "bank@prod":
		t.Name, t.Alias, t.Ref, t.Adapter = "bank", "prod", "adapters/bank", fakeAdapter
	default:
		return Target{}, dlm.Faultf(dlm.FaultUnknown, "model", "the model %q does not exist", q.Model)
	}
	if n.target != nil {
		n.target(&t)
	}
	return t, nil
}

func (n *names) Models(context.Context) ([]Model, error) {
	return []Model{
		{ID: "base", Root: "base.gguf", OwnedBy: "dlm", Context: 512, Created: time.Unix(1700000000, 0)},
		{ID: "bank", Root: string(fakeAdapter), Parent: "base", OwnedBy: "dlm", Context: 512, Aliases: []string{"prod"}, Adapter: fakeAdapter},
	}, nil
}

func (n *names) Load(_ context.Context, name, dir string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.loaded[name] != "" {
		return dlm.Faultf(dlm.FaultRequest, "lora_name", "%s is loaded already", name)
	}
	if dir == "gone" {
		return dlm.Faultf(dlm.FaultUnknown, "lora_path", "no adapter in %s", dir)
	}
	n.loaded[name] = dir
	return nil
}

func (n *names) Unload(_ context.Context, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.loaded[name] == "" {
		return dlm.Faultf(dlm.FaultUnknown, "lora_name", "%s is not loaded", name)
	}
	delete(n.loaded, name)
	return nil
}

func (n *names) Ready() error { return n.ready }

// door lets in who has one of its keys.
type door struct {
	open   bool // to everyone
	limits Limits
	quota  int // tokens; 0 = any number
	only   string

	mu       sync.Mutex
	reserved []int
	spent    []int
}

func (d *door) Admit(r *http.Request) (Grant, error) {
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case key == "often":
		return nil, &dlm.Fault{Kind: dlm.FaultLimit, Retry: 1500 * time.Millisecond, Err: io.ErrNoProgress}
	case !d.open && key != "user" && key != "admin":
		return nil, dlm.Faultf(dlm.FaultAuth, "", "no such key")
	}
	return &pass{d, key == "admin"}, nil
}

type pass struct {
	*door
	admin bool
}

func (p *pass) Tenant() string          { return "tenant" }
func (p *pass) Admin() bool             { return p.admin }
func (p *pass) Allows(name string) bool { return p.only == "" || p.only == name }
func (p *pass) Limits() Limits          { return p.limits }
func (p *pass) Reserve(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.quota > 0 && n > p.quota {
		return &dlm.Fault{Kind: dlm.FaultLimit, Retry: time.Minute, Err: io.ErrShortBuffer}
	}
	p.reserved = append(p.reserved, n)
	return nil
}
func (p *pass) Close(spent int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spent = append(p.spent, spent)
}

// ledger is an observer that keeps all it is told.
type ledger struct {
	mu     sync.Mutex
	calls  []Call
	ends   []Outcome
	tokens int
	routes []string
}

func (l *ledger) Begin(r *http.Request, c Call) (context.Context, Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, c)
	return r.Context(), l
}
func (l *ledger) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics 1\n") })
}
func (l *ledger) Route(t Target) { l.mu.Lock(); l.routes = append(l.routes, t.Name); l.mu.Unlock() }
func (l *ledger) Token(int)      { l.mu.Lock(); l.tokens++; l.mu.Unlock() }
func (l *ledger) End(o Outcome)  { l.mu.Lock(); l.ends = append(l.ends, o); l.mu.Unlock() }

func (l *ledger) outcomes() []Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Outcome(nil), l.ends...)
}

// place is a server with everything fake around it.
type place struct {
	*Server
	gen    *scripted
	names  *names
	door   *door
	ledger *ledger
	http   *httptest.Server
}

func newPlace(t *testing.T, change func(*place, *Options)) *place {
	t.Helper()
	g := &scripted{text: "hello"}
	p := &place{gen: g, names: &names{gen: g, loaded: map[string]string{}}, door: &door{open: true}, ledger: &ledger{}}
	o := Options{Router: p.names, Guard: p.door, Observer: p.ledger, Version: "test", Log: slog.New(slog.DiscardHandler), BodyTime: 2 * time.Second, Stall: 2 * time.Second}
	if change != nil {
		change(p, &o)
	}
	var err error
	if p.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	p.http = httptest.NewUnstartedServer(p.Server)
	p.http.Config = HTTPServer(p.Server)
	p.http.Start()
	t.Cleanup(p.http.Close)
	return p
}

// ask posts a body (or gets, when it is empty) and returns status, headers and body.
func (p *place) ask(t *testing.T, path, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	method := "GET"
	if body != "" {
		method = "POST"
	}
	r, err := http.NewRequest(method, p.http.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

// tree is a body as JSON has it.
func tree(t *testing.T, body string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

// eventually waits until f holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("%s: not within ten seconds", what)
}
