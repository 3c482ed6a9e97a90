package infer

import (
	"fmt"

	"dlm/engine/model"
	"dlm/engine/sample"
)

// Request asks for one completion.
type Request struct {
	IDs         []int32       // the prompt, at least one token
	Adapter     model.Adapter // nil: the base itself
	Key         string        // digest of the adapter; "" = the base, or an adapter whose cache blocks are shared with nobody
	Tenant      string        // who asks: tenants are served in turn
	Sampling    sample.Params
	StopIDs     []int32  // tokens that end the completion, the base's own too unless they are to be ignored; not part of its text
	StopStrings []string // texts that end the completion; not part of its text
	MaxTokens   int      // of the completion; 0: as many as the context holds
	MinTokens   int      // of the completion before which no token of StopIDs is chosen

	Grammar Grammar // what the completion must be, at its start; nil = anything
	Draft   int     // tokens that may be guessed ahead and verified in one step; changes no result

	TopLogProbs    int  // alternatives to report with each token
	PromptLogProbs bool // report the prompt's tokens too (Result.Prompt)
	PromptOnly     bool // with PromptLogProbs: generate nothing
}

// Token is one token of a completion, or of a prompt.
type Token struct {
	ID      int32
	Text    string  // what it adds to the completion's text, in whole characters; "" while held back, and in a prompt
	LogProb float32 // natural logarithm, of the distribution before any sampling parameter; 0 for a prompt's first token
	Bytes   []byte  // what the token itself spells; not to be changed
	Top     []Alternative
}

// Alternative is a token that could have stood at a place. Of equally likely
// ones those with lower ids come first.
type Alternative struct {
	ID      int32
	LogProb float32 // as of [Token]
	Bytes   []byte  // not to be changed
}

// Finish says why a completion ended.
type Finish string

// Why a completion ended.
const (
	Stopped Finish = "stop"   // a stop token or a stop string came
	Length  Finish = "length" // MaxTokens or the context was reached
)

// Result is a completion. The tokens' texts together are Text. A stop token is
// the last of Tokens, so that its log-probability is known.
type Result struct {
	Text   string
	Tokens []Token
	Finish Finish
	Prompt []Token // with PromptLogProbs
	Cached int     // tokens of the prompt whose keys and values were there already
}

// ScoreRequest asks for the log-probability of each token of IDs[From:], given
// all tokens before it.
type ScoreRequest struct {
	IDs     []int32
	From    int // at least 1: the first token has nothing before it
	Adapter model.Adapter
	Key     string // as in Request
	Tenant  string // as in Request
	Route   Route
}

// Route says how the positions of a scored sequence are computed. The results
// are equal to the last bit; what differs is memory.
type Route uint8

// The routes.
const (
	Auto   Route = iota // Whole when it fits a pass, else Cached
	Whole               // in one pass, without a cache
	Cached              // in chunks, with the cache
)

// check refuses a request that could never finish.
func (e *Engine) check(r *Request) error {
	if err := r.Sampling.Validate(); err != nil {
		return err
	}
	switch ctx := e.m.Config().MaxSeq; {
	case len(r.IDs) == 0:
		return fmt.Errorf("the prompt has no tokens")
	case len(r.IDs) > ctx || len(r.IDs) == ctx && !r.PromptOnly:
		return fmt.Errorf("the prompt has %d tokens; the base's context of %d has no room for a completion; shorten the prompt", len(r.IDs), ctx)
	case r.MaxTokens < 0:
		return fmt.Errorf("max_tokens %d: expected a positive number, or 0 for as many as the context holds", r.MaxTokens)
	}
	if err := e.checkChoice(r); err != nil {
		return err
	}
	if err := checkKey(r.Key, r.Adapter); err != nil {
		return err
	}
	for _, s := range r.StopStrings {
		if s == "" {
			return fmt.Errorf("an empty stop string would stop at once; leave it out")
		}
	}
	return e.checkIDs(r.IDs)
}

// checkChoice refuses what no token could be chosen by.
func (e *Engine) checkChoice(r *Request) error {
	vocab := e.m.Config().Vocab
	for _, b := range r.Sampling.Bias {
		if b.ID < 0 || int(b.ID) >= vocab {
			return fmt.Errorf("logit_bias of token %d: the base's vocabulary has %d", b.ID, vocab)
		}
	}
	switch {
	case r.MinTokens < 0 || r.MaxTokens > 0 && r.MinTokens > r.MaxTokens:
		return fmt.Errorf("min_tokens %d: expected a number from 0 to max_tokens, %d", r.MinTokens, r.MaxTokens)
	case r.TopLogProbs < 0 || r.TopLogProbs > vocab:
		return fmt.Errorf("%d alternatives to each token: expected a number from 0 to the size of the base's vocabulary, %d", r.TopLogProbs, vocab)
	case r.Draft < 0:
		return fmt.Errorf("%d tokens guessed ahead: expected 0 (off) or a small positive number", r.Draft)
	case r.PromptOnly && !r.PromptLogProbs:
		return fmt.Errorf("nothing is to be generated and nothing reported of the prompt; ask for one of them")
	}
	return nil
}

func (e *Engine) checkScore(r *ScoreRequest) error {
	ctx := e.m.Config().MaxSeq
	switch {
	case r.From < 1 || r.From > len(r.IDs):
		return fmt.Errorf("the completion starts at token %d of %d; expected at least one token before it", r.From, len(r.IDs))
	case len(r.IDs) > ctx:
		return fmt.Errorf("prompt and completion have %d tokens; the base's context is %d; shorten one of them", len(r.IDs), ctx)
	case r.Route == Whole && len(r.IDs)-1 > e.o.MaxTokens:
		return fmt.Errorf("%d tokens do not fit a pass of %d as a whole; use the cache", len(r.IDs)-1, e.o.MaxTokens)
	}
	if err := checkKey(r.Key, r.Adapter); err != nil {
		return err
	}
	return e.checkIDs(r.IDs)
}

// checkKey refuses the base with an adapter's key: its blocks would be taken for the adapter's.
func checkKey(key string, a model.Adapter) error {
	if key != "" && a == nil {
		return fmt.Errorf("key %q without an adapter: give the adapter that it names, or no key for the base", key)
	}
	return nil
}

func (e *Engine) checkIDs(ids []int32) error {
	vocab := e.m.Config().Vocab
	for i, id := range ids {
		if id < 0 || int(id) >= vocab {
			return fmt.Errorf("token %d has id %d; the base's vocabulary has %d; was it made with another tokenizer?", i, id, vocab)
		}
	}
	return nil
}
