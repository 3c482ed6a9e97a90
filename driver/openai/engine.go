package openai

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"dlm"
	"dlm/internal/remote"
)

var (
	_ dlm.Generator = (*Engine)(nil)
	_ dlm.Embedder  = (*Engine)(nil)
)

// Options say which server is asked and how.
type Options struct {
	URL    string // such as https://api.openai.com/v1; without a path, /v1 is meant
	APIKey string // "" = none
	Model  string // that requests without an adapter ask; "" = the only one that the server lists
	// Models are the server's names of what requests call an adapter; what is not
	// here is asked by its own name. Only models that the server lists are asked:
	// some servers answer any name with what they have.
	Models map[string]string

	VLLM       bool // the server knows vLLM's fields beyond OpenAI's
	NoLogProbs bool // it tells no log-probabilities: they are 0, and alternatives are refused
	// Refuses names fields of OpenAI's API that this server ignores or takes for
	// something else; a request that asks one is refused. See Ignored.
	Refuses  []string
	Parallel int           // requests of one call that are under way at once; 0 = 64
	Connect  time.Duration // to reach the server; 0 = 10 s
	Name     string        // in errors; "" = the URL

	// Wrap puts something around every exchange, such as the headers of a trace; nil = nothing.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Ignored are the fields that servers of a kind are known to take without doing
// what they say, for Options.Refuses: Ollama 0.6 ignores logit_bias, and what is
// built on llama.cpp counts a prompt's tokens where the completion's alone are meant.
func Ignored(kind string) []string {
	switch kind {
	case "ollama":
		return []string{"prompt", "logit_bias", "presence_penalty", "frequency_penalty"}
	case "llamacpp":
		return []string{"presence_penalty", "frequency_penalty"}
	}
	return nil
}

// Engine is a server. Its methods may be called from several goroutines.
type Engine struct {
	o    Options
	http *http.Client

	mu     sync.Mutex
	listed []Model
	asked  time.Time // when the list was
}

// New prepares to ask a server. It is not asked anything yet.
func New(o Options) (*Engine, error) {
	if !strings.HasPrefix(o.URL, "http://") && !strings.HasPrefix(o.URL, "https://") {
		return nil, dlm.Faultf(dlm.FaultRequest, "url", "upstream %q: expected an address such as http://127.0.0.1:8000/v1", o.URL)
	}
	o.URL = strings.TrimRight(o.URL, "/")
	if _, rest, _ := strings.Cut(o.URL, "://"); !strings.Contains(rest, "/") {
		o.URL += "/v1"
	}
	o.Name = cmp.Or(o.Name, o.URL)
	o.Parallel = cmp.Or(o.Parallel, 64)
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	t.MaxIdleConnsPerHost = o.Parallel
	t.DialContext = (&net.Dialer{Timeout: cmp.Or(o.Connect, 10*time.Second)}).DialContext
	var rt http.RoundTripper = t
	if o.Wrap != nil {
		rt = o.Wrap(t)
	}
	return &Engine{o: o, http: &http.Client{Transport: rt}}, nil
}

// Close lets go of idle connections.
func (e *Engine) Close() error {
	e.http.CloseIdleConnections()
	return nil
}

// Model is one that a server lists.
type Model struct {
	ID      string `json:"id"`
	Root    string `json:"root"`          // vLLM's: where it comes from
	Parent  string `json:"parent"`        // vLLM's: an adapter's base
	Context int    `json:"max_model_len"` // vLLM's: tokens; 0 = not told
	OwnedBy string `json:"owned_by"`
}

// Models asks what the server has.
func (e *Engine) Models(ctx context.Context) ([]Model, error) {
	var list struct {
		Data []Model `json:"data"`
	}
	if err := e.call(ctx, http.MethodGet, "/models", nil, &list); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listed, e.asked = list.Data, time.Now()
	return slices.Clone(list.Data), nil
}

// Health says whether the server answers: nil when it does.
func (e *Engine) Health(ctx context.Context) error {
	_, err := e.Models(ctx)
	return err
}

// Lists of models are asked anew when a name is not in them, but not more often
// than often, and after stale in any case.
const (
	often = time.Second
	stale = time.Minute
)

// modelOf returns the server's name of an adapter.
func (e *Engine) modelOf(ctx context.Context, adapter string) (string, error) {
	name := e.o.Model
	if adapter != "" {
		name = cmp.Or(e.o.Models[adapter], adapter)
	}
	e.mu.Lock()
	list, age := e.listed, time.Since(e.asked)
	e.mu.Unlock()
	known := func() bool {
		return slices.ContainsFunc(list, func(m Model) bool { return m.ID == name })
	}
	if age > stale || age > often && !known() {
		var err error
		if list, err = e.Models(ctx); err != nil {
			return "", err
		}
	}
	var ids []string
	for _, m := range list {
		if m.Parent == "" {
			ids = append(ids, m.ID)
		}
	}
	switch {
	case name == "" && len(ids) == 1:
		return ids[0], nil
	case name == "":
		return "", dlm.Faultf(dlm.FaultRequest, "model", "%s has the models %s; name one", e.o.Name, strings.Join(ids, ", "))
	case known():
		return name, nil
	}
	return "", dlm.Faultf(dlm.FaultUnknown, "model", "%s has no model %s; it lists %s", e.o.Name, name, remote.OneLine(strings.Join(ids, ", "), 300))
}
