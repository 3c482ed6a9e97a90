package tenant

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"dlm"
	"dlm/serve"
)

// Local is the tenant of requests where no keys are: the machine's own.
const Local = "local"

// Options are a guard's settings.
type Options struct {
	File   File         // of keys
	Limits serve.Limits // of every request; a key's own may be less
	Now    func() time.Time
	Note   func(error) // told when the file can no longer be read; nil: nobody
}

// Guard admits requests by key. As long as there is no file of keys, requests of
// this machine are admitted without one, as [Local]. It looks at the file again
// as requests come, at most once a second, so that a new key is good and a
// revoked one ends without a restart.
type Guard struct {
	o Options

	mu     sync.Mutex
	keys   []Key       // as the file had them last
	need   bool        // a key: there is, or was, a file
	seen   os.FileInfo // of the file that keys came from; nil: none
	looked time.Time
	usage  map[string]*usage // by the key's name
}

var _ serve.Guard = (*Guard)(nil)

// sameFile says whether two looks at a file saw one state of it: changes are
// renames, so another state is another file even within a tick of the clock.
func sameFile(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// usage is what a key has used.
type usage struct {
	rate     bucket
	quota    window
	inFlight int
}

// lookEvery is how often the file is looked at.
const lookEvery = time.Second

// NewGuard reads the keys. It is an error when the file is there and cannot be
// read: without its keys nobody could be told apart.
func NewGuard(o Options) (*Guard, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Note == nil {
		o.Note = func(error) {}
	}
	g := &Guard{o: o, usage: map[string]*usage{}}
	if err := g.read(); err != nil {
		return nil, err
	}
	return g, nil
}

// Good is how many keys are good now.
func (g *Guard) Good() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.keys {
		if g.keys[i].State(g.o.Now()) == "good" {
			n++
		}
	}
	return n
}

// CheckBind refuses to listen beyond this machine when there is no good key.
func (g *Guard) CheckBind(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("addr %q: %w; expected HOST:PORT, such as 127.0.0.1:8080", addr, err)
	}
	if loopback(host) || g.Good() > 0 {
		return nil
	}
	return fmt.Errorf("addr %s can be reached from other machines, and %s holds no key that is good: make one with dlm keys add NAME, or listen on 127.0.0.1", addr, g.o.File.Path)
}

// loopback says whether a host is this machine alone.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// read brings the keys up to date when the file has changed. Under g.mu, or
// before anybody else has g.
func (g *Guard) read() error {
	info, err := os.Stat(g.o.File.Path)
	if errors.Is(err, fs.ErrNotExist) {
		// Whoever takes the file away takes the keys away: nobody is let in instead.
		g.keys, g.seen = nil, nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if sameFile(info, g.seen) {
		return nil
	}
	keys, err := g.o.File.Keys()
	if err != nil {
		return err
	}
	g.keys, g.seen, g.need = keys, info, true
	return nil
}

// look reads the file when it is time to. A file that cannot be read leaves the
// keys as they were.
func (g *Guard) look(now time.Time) {
	if d := now.Sub(g.looked); d >= 0 && d < lookEvery {
		return
	}
	g.looked = now
	if err := g.read(); err != nil {
		g.o.Note(fmt.Errorf("%w; the keys stay as they were", err))
	}
}

// Admit reads the key from "Authorization: Bearer" or "x-api-key".
func (g *Guard) Admit(r *http.Request) (serve.Grant, error) {
	secret, given := secretOf(r)
	hash := hashOf(secret)
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.o.Now()
	g.look(now)
	if !g.need {
		if err := fromHere(r); err != nil {
			return nil, err
		}
		return &grant{g: g, key: Key{Name: Local, Policy: Policy{Admin: true}}, use: g.used(Local)}, nil
	}
	if !given {
		return nil, dlm.Faultf(dlm.FaultAuth, "", "no API key was given; expected the header \"Authorization: Bearer dlm-...\"")
	}
	var key *Key
	for i := range g.keys { // all of them, so that time does not tell which
		if g.keys[i].matches(hash, now) {
			key = &g.keys[i]
		}
	}
	if key == nil {
		return nil, dlm.Faultf(dlm.FaultAuth, "", "the API key is not known here")
	}
	if s := key.State(now); s != "good" {
		return nil, dlm.Faultf(dlm.FaultAuth, "", "the API key %s (%s...) is %s", key.Name, key.Prefix, s)
	}
	return g.admit(key, now)
}

// admit counts the request against the key's limits.
func (g *Guard) admit(key *Key, now time.Time) (serve.Grant, error) {
	use := g.used(key.Name)
	if key.InFlight > 0 && use.inFlight >= key.InFlight {
		return nil, limit(time.Second, "%d requests of %s are under way, as many as may be at once", use.inFlight, key.Name)
	}
	if wait := use.rate.take(now, key.Rate); wait > 0 {
		return nil, limit(wait, "%s may make %s requests; the next one in %s", key.Name, key.Rate, round(wait))
	}
	use.inFlight++
	return &grant{g: g, key: *key, use: use, counted: true}, nil
}

func (g *Guard) used(name string) *usage {
	u, ok := g.usage[name]
	if !ok {
		u = &usage{}
		g.usage[name] = u
	}
	return u
}

func limit(wait time.Duration, format string, args ...any) error {
	f := dlm.Faultf(dlm.FaultLimit, "", format, args...)
	f.Retry = wait
	return f
}

// round is a wait for people.
func round(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }

// secretOf is the secret that a request holds.
func secretOf(r *http.Request) (string, bool) {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, secret, ok := strings.Cut(h, " ")
		secret = strings.TrimSpace(secret)
		return secret, ok && secret != "" && strings.EqualFold(scheme, "Bearer")
	}
	s := strings.TrimSpace(r.Header.Get("X-Api-Key"))
	return s, s != ""
}

// fromHere refuses what a page of another site, open in a browser of this
// machine, might send to a gateway without keys: such a request names that site
// as its origin, or (when the site's name was made to point here) as its host.
func fromHere(r *http.Request) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host != "" && !loopback(host) {
		return dlm.Faultf(dlm.FaultForbidden, "", "the request is for the host %s; without keys only this machine's own names are served: make a key with dlm keys add NAME", r.Host)
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	if u, err := url.Parse(origin); err == nil && loopback(u.Hostname()) {
		return nil
	}
	return dlm.Faultf(dlm.FaultForbidden, "", "the request comes from a page of %s; without keys only this machine's own pages are served: make a key with dlm keys add NAME", origin)
}
