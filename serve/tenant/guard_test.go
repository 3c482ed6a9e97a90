package tenant

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dlm"
	"dlm/serve"
)

// clock is a time that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newTest(t *testing.T) (*Guard, File, *clock) {
	t.Helper()
	f, c := File{filepath.Join(t.TempDir(), "keys.json")}, &clock{now: day}
	g, err := NewGuard(Options{File: f, Now: c.Now, Limits: serve.Limits{Body: 1 << 20, Tokens: 512}, Note: func(err error) { t.Log(err) }})
	if err != nil {
		t.Fatal(err)
	}
	return g, f, c
}

func ask(g *Guard, secret string) (serve.Grant, error) {
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8080/v1/chat/completions", nil)
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	return g.Admit(r)
}

func add(t *testing.T, f File, name string, p Policy, expires time.Time) string {
	t.Helper()
	_, secret, err := f.Add(name, p, expires, day)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func wants(t *testing.T, what string, err error, kind dlm.FaultKind) {
	t.Helper()
	if dlm.FaultOf(err) != kind {
		t.Errorf("%s: %v (%q), expected a fault of kind %q", what, err, dlm.FaultOf(err), kind)
	}
}

func TestWithoutKeys(t *testing.T) {
	g, f, c := newTest(t)
	grant, err := ask(g, "")
	if err != nil || grant.Tenant() != Local || !grant.Admin() || !grant.Allows("anything") {
		t.Fatalf("without keys: %v, %v", grant, err)
	}
	grant.Close(5)
	if err := g.CheckBind("127.0.0.1:8080"); err != nil {
		t.Error(err)
	}
	for _, addr := range []string{"0.0.0.0:8080", ":8080", "192.0.2.1:80", "[::]:80", "example.com:80"} {
		if err := g.CheckBind(addr); err == nil || !strings.Contains(err.Error(), "dlm keys add") {
			t.Errorf("%s without a key: %v", addr, err)
		}
	}
	for _, c := range []struct{ host, origin string }{{"evil.example", ""}, {"localhost:8080", "https://evil.example"}, {"127.0.0.1:8080", "null"}} {
		r := httptest.NewRequest(http.MethodPost, "/v1/load_lora_adapter", nil)
		r.Host = c.host
		r.Header.Set("Origin", c.origin)
		_, err := g.Admit(r)
		wants(t, "host "+c.host+" origin "+c.origin, err, dlm.FaultForbidden)
	}
	r := httptest.NewRequest(http.MethodGet, "/v1/models", nil)
	r.Host = "[::1]:8080"
	r.Header.Set("Origin", "http://localhost:3000")
	if _, err := g.Admit(r); err != nil {
		t.Error(err)
	}

	// The first key ends it, without a restart.
	secret := add(t, f, "app", Policy{}, time.Time{})
	c.step(2 * time.Second)
	_, err = ask(g, "")
	wants(t, "no key, after one was made", err, dlm.FaultAuth)
	if grant, err = ask(g, secret); err != nil || grant.Admin() {
		t.Errorf("the new key: %v, %v", grant, err)
	}
	if err := g.CheckBind("0.0.0.0:8080"); err != nil {
		t.Error(err)
	}
	// Taking the file away lets nobody in.
	if err := os.Remove(f.Path); err != nil {
		t.Fatal(err)
	}
	c.step(2 * time.Second)
	for _, s := range []string{"", secret} {
		_, err = ask(g, s)
		wants(t, "the file of keys is gone", err, dlm.FaultAuth)
	}
}

func TestWhoMayAsk(t *testing.T) {
	g, f, c := newTest(t)
	good := add(t, f, "good", Policy{Adapters: []string{"bank-*", "sql"}, MaxTokens: 64}, time.Time{})
	short := add(t, f, "short", Policy{MaxTokens: 9999}, day.Add(time.Hour))
	c.step(2 * time.Second)
	grant, err := ask(g, good)
	if err != nil {
		t.Fatal(err)
	}
	if grant.Tenant() != "good" || grant.Admin() || !grant.Allows("bank-support") || !grant.Allows("sql") || grant.Allows("bank") || grant.Allows("") {
		t.Error("the key's adapters are not what it may use")
	}
	if l := grant.Limits(); l.Tokens != 64 || l.Body != 1<<20 {
		t.Errorf("limits %+v", l)
	}
	r := httptest.NewRequest(http.MethodGet, "/v1/models", nil)
	r.Header.Set("X-Api-Key", short)
	if grant, err = g.Admit(r); err != nil || grant.Limits().Tokens != 512 {
		t.Errorf("x-api-key: %v; a key's limit cannot be above the gateway's: %+v", err, grant)
	}
	for what, secret := range map[string]string{"none": "", "another": newSecret(), "a hash": hashOf(good), "half": good[:20], "a name": "good"} {
		_, err := ask(g, secret)
		wants(t, what, err, dlm.FaultAuth)
		if err != nil && secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows what was given: %v", err)
		}
	}
	r.Header.Set("Authorization", "Basic "+good)
	_, err = g.Admit(r)
	wants(t, "Basic", err, dlm.FaultAuth)

	c.step(time.Hour)
	_, err = ask(g, short)
	wants(t, "expired", err, dlm.FaultAuth)

	_, fresh, err := f.Rotate("good", time.Minute, c.Now())
	if err != nil {
		t.Fatal(err)
	}
	c.step(2 * time.Second)
	for _, s := range []string{good, fresh} {
		if _, err := ask(g, s); err != nil {
			t.Errorf("within the grace both secrets are good: %v", err)
		}
	}
	c.step(time.Minute)
	_, err = ask(g, good)
	wants(t, "the old secret after its grace", err, dlm.FaultAuth)
	if _, err := f.Revoke("good", c.Now()); err != nil {
		t.Fatal(err)
	}
	c.step(2 * time.Second)
	_, err = ask(g, fresh)
	wants(t, "revoked", err, dlm.FaultAuth)
}

func TestRateAndQuota(t *testing.T) {
	g, f, c := newTest(t)
	secret := add(t, f, "app", Policy{Rate: Rate{2, time.Minute}, Tokens: Rate{100, time.Hour}, InFlight: 2}, time.Time{})
	other := add(t, f, "other", Policy{}, time.Time{})
	c.step(2 * time.Second)
	a, err := ask(g, secret)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ask(g, secret)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ask(g, secret)
	wants(t, "three at once", err, dlm.FaultLimit)
	a.Close(0)
	a.Close(0) // counts once
	_, err = ask(g, secret)
	wants(t, "a third within a minute", err, dlm.FaultLimit)
	var fault *dlm.Fault
	if !errors.As(err, &fault) || fault.Retry < 29*time.Second || fault.Retry > 30*time.Second {
		t.Errorf("retry after %v, expected 30s: half of the minute for one of two", fault)
	}
	if o, err := ask(g, other); err != nil || o.Reserve(1<<30) != nil {
		t.Errorf("another key's limits are its own: %v", err)
	}

	wants(t, "more than the quota has in all", b.Reserve(101), dlm.FaultRequest)
	if err := b.Reserve(70); err != nil {
		t.Fatal(err)
	}
	c.step(30 * time.Second)
	a, err = ask(g, secret)
	if err != nil {
		t.Fatalf("after the wait: %v", err)
	}
	err = a.Reserve(40)
	wants(t, "70 and 40 of 100", err, dlm.FaultLimit)
	if !errors.As(err, &fault) || fault.Retry <= 59*time.Minute || fault.Retry > time.Hour {
		t.Errorf("retry after %v, expected until the window ends", fault.Retry)
	}
	a.Close(0)
	b.Close(30) // 40 of the 70 were not needed
	c.step(30 * time.Second)
	if a, err = ask(g, secret); err != nil {
		t.Fatal(err)
	}
	if err := a.Reserve(70); err != nil {
		t.Errorf("30 were spent, 70 are left: %v", err)
	}
	c.step(time.Hour)
	b, err = ask(g, secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Reserve(100); err != nil {
		t.Errorf("a new window: %v", err)
	}
	a.Close(70) // began in the window before
	b.Close(100)
}

// TestBrokenFile: what cannot be read changes nothing, and is told.
func TestBrokenFile(t *testing.T) {
	f, c := File{filepath.Join(t.TempDir(), "keys.json")}, &clock{now: day}
	secret := add(t, f, "app", Policy{}, time.Time{})
	var told []error
	g, err := NewGuard(Options{File: f, Now: c.Now, Note: func(err error) { told = append(told, err) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Path, []byte(`{"version":1,"keys":[{"name":"x"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c.step(2 * time.Second)
	if _, err := ask(g, secret); err != nil {
		t.Error(err)
	}
	if len(told) != 1 || !strings.Contains(told[0].Error(), f.Path) {
		t.Errorf("told %v", told)
	}
	if _, err := NewGuard(Options{File: f}); err == nil {
		t.Error("a guard began with a file that it cannot read")
	}
}

func TestManyRequests(t *testing.T) {
	g, f, c := newTest(t)
	secret := add(t, f, "app", Policy{Tokens: Rate{1000, time.Hour}, InFlight: 1000}, time.Time{})
	c.step(2 * time.Second)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				grant, err := ask(g, secret)
				if err != nil {
					t.Error(err)
					return
				}
				_ = grant.Reserve(20)
				grant.Close(1)
			}
		})
	}
	wg.Wait()
	u := g.usage["app"]
	if u.inFlight != 0 || u.quota.used > 1000 {
		t.Errorf("in flight %d, used %d of 1000", u.inFlight, u.quota.used)
	}
}
