package dlm

import (
	"context"
	"encoding/json"
	"time"
)

// Sampling says how tokens are chosen. The zero value is greedy.
type Sampling struct {
	MaxTokens         int      `json:"max_tokens"`
	Temperature       float64  `json:"temperature"`        // 0 = greedy
	TopK              int      `json:"top_k"`              // 0 = off
	TopP              float64  `json:"top_p"`              // 0 or 1 = off
	MinP              float64  `json:"min_p"`              // 0 = off
	RepetitionPenalty float64  `json:"repetition_penalty"` // 0 or 1 = off; of tokens in prompt and completion
	Seed              uint64   `json:"seed"`
	Stop              []string `json:"stop"`

	// As OpenAI defines them: subtracted from the logits of tokens that the
	// completion holds already, once (presence) and as often as it holds them (frequency).
	PresencePenalty  float64           `json:"presence_penalty,omitempty"`
	FrequencyPenalty float64           `json:"frequency_penalty,omitempty"`
	LogitBias        map[int32]float64 `json:"logit_bias,omitempty"` // added to the logits of these ids

	Sequence  uint64  `json:"sequence,omitempty"`   // tells several completions of one prompt and seed apart
	MinTokens int     `json:"min_tokens,omitempty"` // before which no token that ends the turn is chosen
	IgnoreEOS bool    `json:"ignore_eos,omitempty"` // tokens that end the turn do not end the completion
	StopIDs   []int32 `json:"stop_ids,omitempty"`   // tokens that end the completion besides the base's own
}

// Format says what a completion must be. At most one of its fields is set.
type Format struct {
	JSON    bool            `json:"json,omitempty"`    // a JSON object
	Schema  json.RawMessage `json:"schema,omitempty"`  // JSON that this JSON schema accepts
	Regex   string          `json:"regex,omitempty"`   // a text that this expression matches as a whole
	Choices []string        `json:"choices,omitempty"` // one of these texts
}

// GenerateRequest asks for one completion.
type GenerateRequest struct {
	Messages []Message // templated by the base's own chat template
	Raw      string    // plain text prompt, when Messages is empty
	IDs      []int32   // the prompt as token ids, when both are empty
	Adapter  string    // adapter folder, or what the engine calls it; empty = the base itself
	Sampling Sampling

	Format         *Format // what the completion must be; nil = anything
	TopLogProbs    int     // alternatives to report with each token
	PromptLogProbs bool    // report the prompt's tokens too (Completion.Prompt)
	PromptOnly     bool    // generate nothing: the prompt's log-probabilities are all that is wanted

	// Tenant names who asks. An engine that is short of room serves tenants in turn,
	// so that none waits for all that another has asked for.
	Tenant string
}

// Token is one token of a prompt or completion.
type Token struct {
	ID      int32   `json:"id"`
	Text    string  `json:"text"` // whole UTF-8 characters; may be empty until one is complete
	LogProb float64 `json:"logprob"`

	Bytes []byte        `json:"bytes,omitempty"` // what the token itself spells, where the engine tells
	Top   []Alternative `json:"top,omitempty"`   // the likeliest tokens at its place, likeliest first
}

// Alternative is a token that could have stood at a place.
type Alternative struct {
	ID      int32   `json:"id"`
	Bytes   []byte  `json:"bytes"`
	LogProb float64 `json:"logprob"`
}

// Completion is what a generator answered.
type Completion struct {
	Text         string        `json:"text"`
	Tokens       []Token       `json:"tokens"`
	Finish       string        `json:"finish"` // "stop" or "length"
	PromptTokens int           `json:"prompt_tokens"`
	Latency      time.Duration `json:"latency_ns"`

	Prompt []Token       `json:"prompt,omitempty"`        // with PromptLogProbs; the first token has no log-probability (NaN is not JSON: it is 0)
	Cached int           `json:"cached_tokens,omitempty"` // of the prompt, whose keys and values were there already
	Queued time.Duration `json:"queued_ns,omitempty"`     // of Latency: waiting for a place in the batch
}

// Generator answers prompts. It may be called from several goroutines at once;
// all requests under way may share batches. Results are in the order of the
// requests and do not depend on their neighbours. What it cannot do as asked it
// refuses with a [Fault], and never answers as if it had not been asked.
type Generator interface {
	// Generate answers every request. emit, when not nil, is called with each
	// token of request i as it comes: by one goroutine at a time, and not after
	// Generate has returned. An emit that is slow holds up nobody else. When ctx
	// ends, what is under way is dropped and its memory is free at once.
	Generate(ctx context.Context, reqs []GenerateRequest, emit func(i int, t Token)) ([]Completion, error)
}

// AdapterHost is a generator that holds adapters in memory, so that a gateway
// can bring one in before it is asked for.
type AdapterHost interface {
	// LoadAdapter checks the adapter and brings it in, beside what is running. A
	// pinned one stays until it is let go; others leave, least recently used
	// first, when memory is short. Loading it again changes whether it is pinned.
	LoadAdapter(ctx context.Context, dir string, pin bool) error
	// UnloadAdapter lets the adapter go as soon as no request uses it. The next
	// request for it loads it again.
	UnloadAdapter(ctx context.Context, dir string) error
	// Adapters lists what is in memory.
	Adapters() []HeldAdapter
}

// HeldAdapter is an adapter in an engine's memory.
type HeldAdapter struct {
	Dir    string    `json:"dir"`
	Bytes  int64     `json:"bytes"`
	Pinned bool      `json:"pinned"`
	InUse  int       `json:"in_use"` // requests under way
	Used   time.Time `json:"used"`   // last
}

// EngineStats is what an engine is doing. Counters only grow.
type EngineStats struct {
	Running     int `json:"running"`      // sequences in the batch
	Waiting     int `json:"waiting"`      // for a place in it
	CacheBlocks int `json:"cache_blocks"` // that the key-value cache may have
	CacheUsed   int `json:"cache_used"`   // of which sequences under way hold
	CacheKept   int `json:"cache_kept"`   // of which hold prefixes that nobody uses at the moment

	Steps        uint64 `json:"steps"`
	Prompt       uint64 `json:"prompt_tokens"`     // asked for
	Cached       uint64 `json:"cached_tokens"`     // of which were in the cache
	Computed     uint64 `json:"computed_tokens"`   // positions, recomputed ones too
	Generated    uint64 `json:"generated_tokens"`  //
	Drafted      uint64 `json:"drafted_tokens"`    // guessed ahead
	Accepted     uint64 `json:"accepted_tokens"`   // of which were right
	Preempted    uint64 `json:"preempted"`         // sequences that had to start over
	AdapterLoads uint64 `json:"adapter_loads"`     //
	AdapterDrops uint64 `json:"adapter_evictions"` //
	AdapterBytes int64  `json:"adapter_bytes"`     // in memory now
}

// StatsReporter is an engine that says what it is doing.
type StatsReporter interface{ Stats() EngineStats }

// Embedded is one text as a vector.
type Embedded struct {
	Vector []float32 // of length 1
	Tokens int       // of the text
}

// Embedder turns texts into vectors whose inner product says how alike they are.
type Embedder interface {
	Embed(ctx context.Context, texts []string) ([]Embedded, error)
}
