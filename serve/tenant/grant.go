package tenant

import (
	"time"

	"dlm"
	"dlm/serve"
)

// grant is one request of a key. The key is a copy: changes of the file touch
// only requests that come later.
type grant struct {
	g       *Guard
	key     Key
	use     *usage
	counted bool // in use.inFlight

	reserved int
	from     time.Time // beginning of the window that holds reserved
	closed   bool
}

// Tenant is the key's name.
func (t *grant) Tenant() string { return t.key.Name }

// Admin says whether the key may load and unload adapters.
func (t *grant) Admin() bool { return t.key.Admin }

// Allows says whether the key may use the base or adapter of this name.
func (t *grant) Allows(name string) bool { return t.key.Allows(name) }

// Limits are the gateway's, with the key's own where they are less.
func (t *grant) Limits() serve.Limits {
	l := t.g.o.Limits
	if m := t.key.MaxTokens; m > 0 && (l.Tokens == 0 || m < l.Tokens) {
		l.Tokens = m
	}
	return l
}

// Reserve takes tokens from the key's quota. It may be called more than once.
func (t *grant) Reserve(tokens int) error {
	r := t.key.Tokens
	if r.IsZero() || tokens <= 0 {
		return nil
	}
	if tokens > r.N {
		return dlm.Faultf(dlm.FaultRequest, "max_tokens", "prompt and completion may take %d tokens, and %s has %s in all; ask for fewer", tokens, t.key.Name, r)
	}
	t.g.mu.Lock()
	defer t.g.mu.Unlock()
	now, w := t.g.o.Now(), &t.use.quota
	if wait := w.reserve(now, r, tokens); wait > 0 {
		return limit(wait, "%s may use %s tokens: %d are left, and the request may take %d; more in %s", t.key.Name, r, max(r.N-w.used, 0), tokens, round(wait))
	}
	if !t.from.Equal(w.from) { // a new window has begun between two calls
		t.reserved, t.from = 0, w.from
	}
	t.reserved += tokens
	return nil
}

// Close ends the request.
func (t *grant) Close(spent int) {
	t.g.mu.Lock()
	defer t.g.mu.Unlock()
	if t.closed {
		return
	}
	t.closed = true
	if t.counted {
		t.use.inFlight--
	}
	if !t.from.IsZero() {
		t.use.quota.settle(t.from, t.reserved, spent)
	}
}
