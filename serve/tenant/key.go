package tenant

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"
)

// Key is one tenant's key, without its secret.
type Key struct {
	Name    string    `json:"name"`   // of the tenant: in metrics and logs
	Hash    string    `json:"hash"`   // sha256 of the secret, hex
	Prefix  string    `json:"prefix"` // first characters of the secret, so that people know it again
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Revoked time.Time `json:"revoked,omitzero"` // zero: not
	Old     []OldHash `json:"old,omitempty"`    // secrets that were rotated out and are good for a while yet
	Policy
}

// OldHash is a secret that a newer one has replaced.
type OldHash struct {
	Hash  string    `json:"hash"`
	Until time.Time `json:"until"`
}

// Policy is what a key may do. The zero value may ask any adapter as often as it
// likes, within the gateway's limits.
type Policy struct {
	Adapters  []string `json:"adapters,omitempty"`   // names of adapters or bases, * stands for any text; none: all
	Rate      Rate     `json:"rate,omitzero"`        // requests
	Tokens    Rate     `json:"tokens,omitzero"`      // of prompts and completions
	MaxTokens int      `json:"max_tokens,omitempty"` // of one completion; 0: the gateway's limit
	InFlight  int      `json:"in_flight,omitempty"`  // requests at once; 0: any number
	Admin     bool     `json:"admin,omitempty"`      // may load and unload adapters
}

// secretBytes are the random bytes of a secret.
const secretBytes = 32

// secretDigits are the base-62 digits that secretBytes need.
const secretDigits = 43

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newSecret makes a secret: dlm- and 43 base-62 digits of 32 random bytes.
func newSecret() string {
	raw := make([]byte, secretBytes)
	_, _ = rand.Read(raw) // crypto/rand never fails: it ends the process instead
	n, rest, base := new(big.Int).SetBytes(raw), new(big.Int), big.NewInt(int64(len(base62)))
	out := make([]byte, secretDigits)
	for i := len(out) - 1; i >= 0; i-- {
		n.DivMod(n, base, rest)
		out[i] = base62[rest.Int64()]
	}
	return "dlm-" + string(out)
}

// hashOf is what the file keeps of a secret.
func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// prefixOf is what people may see of a secret: 4 of its 43 digits.
func prefixOf(secret string) string { return secret[:min(len(secret), 8)] }

// matches says whether the secret with this hash is the key's own, or one that
// was rotated out and is still good. It takes as long whether it is or not.
func (k *Key) matches(hash string, now time.Time) bool {
	ok := subtle.ConstantTimeCompare([]byte(k.Hash), []byte(hash))
	for _, o := range k.Old {
		good := subtle.ConstantTimeCompare([]byte(o.Hash), []byte(hash))
		if now.Before(o.Until) {
			ok |= good
		}
	}
	return ok == 1
}

// State says in one word how the key stands: good, expired, revoked.
func (k *Key) State(now time.Time) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked"
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		return "expired"
	}
	return "good"
}

// Allows says whether the key may use the base or adapter of this name.
func (p *Policy) Allows(name string) bool {
	if len(p.Adapters) == 0 {
		return true
	}
	for _, pattern := range p.Adapters {
		if glob(pattern, name) {
			return true
		}
	}
	return false
}

// glob says whether name fits pattern, in which * stands for any text.
func glob(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return strings.HasSuffix(name, parts[last])
}

var keyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// check refuses a key that could not be meant.
func (k *Key) check() error {
	switch {
	case !keyName.MatchString(k.Name):
		return fmt.Errorf("key name %q: expected up to 63 letters, digits, dots, dashes or underscores, beginning with a letter or digit", k.Name)
	case len(k.Hash) != 2*sha256.Size:
		return fmt.Errorf("key %s: hash: expected 64 hex digits; make the key anew with dlm keys rotate", k.Name)
	case k.MaxTokens < 0 || k.InFlight < 0:
		return fmt.Errorf("key %s: max_tokens and in_flight: expected 0 (no limit) or more", k.Name)
	}
	if _, err := hex.DecodeString(k.Hash); err != nil {
		return fmt.Errorf("key %s: hash: expected 64 hex digits; make the key anew with dlm keys rotate", k.Name)
	}
	for _, p := range k.Adapters {
		if strings.TrimSpace(p) == "" || strings.Contains(p, "@") {
			return fmt.Errorf("key %s: adapters: %q is no name; expected the name of an adapter or base without its alias, in which * stands for any text", k.Name, p)
		}
	}
	return nil
}
