package serve

import (
	"context"
	"net/http"
	"time"

	"dlm"
)

// Target is what a model's name means at the moment of a request. A request
// keeps the target it got: moving an alias touches only those that come later.
type Target struct {
	Model     string     // as asked for
	Name      string     // of the base or adapter, without alias
	Alias     string     // that led to it: "prod", "canary"; "" when none did
	Ref       string     // what dlm.GenerateRequest.Adapter is to be
	Adapter   dlm.Digest // "" = the base, or not known
	Base      dlm.Digest // "" = not known
	Template  string     // hash of the chat template, "" = not known
	Engine    string     // name of the engine or upstream that answers
	System    string     // system message put before conversations that have none; "" = none
	Generator dlm.Generator
	Scorer    dlm.Scorer   // nil = the engine has none
	Codec     dlm.Codec    // nil = the engine sees text alone
	Embedder  dlm.Embedder // nil = the engine has none
}

// Query asks a router what a name means.
type Query struct {
	Model  string
	Sticky string // requests with the same one get the same side of a canary; "" = drawn
	// Allows says which names may stand in a refusal's suggestions, so that nobody
	// learns another's names from it; nil = all. Route resolves the others as well.
	Allows func(name string) bool
}

// Model is one line of /v1/models.
type Model struct {
	ID      string     // what a request's "model" may be
	Root    string     // path or digest of what answers
	Parent  string     // an adapter's base; "" for a base
	Created time.Time  //
	OwnedBy string     // engine or upstream
	Context int        // tokens, 0 = not known
	Aliases []string   // that point at it
	Adapter dlm.Digest // "" for a base
}

// Router knows the names.
type Router interface {
	// Route resolves a name. A name that is not known is a FaultUnknown: never the base instead.
	Route(ctx context.Context, q Query) (Target, error)
	// Models lists the names that Route knows, in a fixed order.
	Models(ctx context.Context) ([]Model, error)
	// Load gives the adapter in a folder a name, as vLLM's load_lora_adapter does. Unload takes it away.
	Load(ctx context.Context, name, dir string) error
	Unload(ctx context.Context, name string) error
	// Ready says why requests cannot be answered yet; nil when they can.
	Ready() error
}

// Operator is a router that can be asked how it is doing, and told to look
// again: what /readyz lists, what /metrics counts.
type Operator interface {
	// Refresh reads names and aliases at once, and returns when what moved is served.
	Refresh(ctx context.Context) error
	// Problems lists what is amiss while requests are answered, such as an alias
	// that moved to an adapter that cannot be loaded: it still means the one before.
	Problems() []string
	// Upstreams is how each replica behind the gateway is doing.
	Upstreams() []UpstreamStats
}

// UpstreamStats is how one replica of an upstream is doing. Counters only grow.
type UpstreamStats struct {
	Upstream string `json:"upstream"`
	Replica  string `json:"replica"`
	Healthy  bool   `json:"healthy"` // by its last health check, if it has one
	Breaker  string `json:"breaker"` // "closed": asked as usual; "open": not asked; "half-open": asked once, to see
	InFlight int    `json:"in_flight"`

	Requests uint64 `json:"requests"` // tries, repeated ones too
	Failures uint64 `json:"failures"` // of which failed by the upstream's fault
	Retries  uint64 `json:"retries"`  // of which repeat one that failed
	Opened   uint64 `json:"opened"`   // times that the breaker opened
}

// Limits bound one request.
type Limits struct {
	Body    int64         // bytes
	Time    time.Duration // from the first byte to the last; 0 = none
	Choices int           // n, times prompts
	Tokens  int           // max_tokens; also what a request without one gets at most; 0 = the context
}

// Guard knows who may ask.
type Guard interface {
	// Admit reads who asks from the request's headers. It is a FaultAuth when
	// nobody does, a FaultLimit when they have asked too often.
	Admit(r *http.Request) (Grant, error)
}

// Grant is what one request may have.
type Grant interface {
	Tenant() string
	Admin() bool             // may load and unload adapters
	Allows(name string) bool // may use the base or adapter of this name (Target.Name)
	Limits() Limits
	// Reserve takes tokens from the quota before they are spent; a FaultLimit when too few are left.
	Reserve(tokens int) error
	// Close ends the request: spent counts instead of what was reserved.
	Close(spent int)
}

// Call is a request as an observer sees it first.
type Call struct {
	ID       string // of the request
	Endpoint string // "chat", "completions", "embeddings", ...
	Tenant   string
	Stream   bool
	Prompt   string // text, for a log that was asked to hold it
}

// Outcome is how a request ended.
type Outcome struct {
	Status     int
	Err        error
	Finish     string // "stop" or "length", of the first choice
	Prompt     int    // tokens
	Cached     int
	Completion int           // tokens, of all choices
	Queued     time.Duration //
	Text       string        // of the completion, for a log that was asked to hold it
}

// Observer counts, traces and logs.
type Observer interface {
	// Begin starts a request. The context carries its trace.
	Begin(r *http.Request, c Call) (context.Context, Record)
	// Handler answers /metrics.
	Handler() http.Handler
}

// Record is one request under way.
type Record interface {
	Route(t Target)   // what answers it
	Token(choice int) // one token came
	End(o Outcome)    // once
}
