package main

import (
	"errors"
	"path/filepath"
	"strings"
	"time"

	"dlm/lifecycle"
	"dlm/serve/tenant"
)

// keysCmd looks after the keys of dlm serve.
type keysCmd struct {
	Add    keysAddCmd    `cmd:"" help:"Make a key for a tenant; its secret is shown once."`
	List   keysListCmd   `cmd:"" default:"1" help:"All keys, without their secrets."`
	Revoke keysRevokeCmd `cmd:"" help:"End a key at once."`
	Rotate keysRotateCmd `cmd:"" help:"Give a key a new secret."`
}

// keyFile is the file of keys.
type keyFile struct {
	Keys string `type:"path" help:"File of keys (default: the project's serve.keys, else .dlm/keys.json)." placeholder:"FILE"`
}

// keysName is the file of keys in a project's .dlm.
const keysName = "keys.json"

// file is where the keys are.
func (k *keyFile) file(a *app) (tenant.File, error) {
	if k.Keys != "" {
		return tenant.File{Path: k.Keys}, nil
	}
	p, err := a.project(nil)
	if errors.Is(err, lifecycle.ErrNoProject) {
		return tenant.File{}, usageError("--keys: expected a file of keys; outside of a project there is none")
	}
	if err != nil {
		return tenant.File{}, err
	}
	return tenant.File{Path: projectKeys(p)}, nil
}

func projectKeys(p *lifecycle.Project) string {
	if p.Serve.Keys != "" {
		return p.Path(p.Serve.Keys)
	}
	return filepath.Join(p.State(), keysName)
}

// keyOut is a key as commands print it: without its hash.
type keyOut struct {
	Name      string     `json:"name"`
	Prefix    string     `json:"prefix"`
	State     string     `json:"state"` // good, expired, revoked
	Created   time.Time  `json:"created"`
	Expires   *time.Time `json:"expires,omitempty"`
	Adapters  []string   `json:"adapters"`
	Rate      string     `json:"rate,omitempty"`
	Tokens    string     `json:"tokens,omitempty"`
	MaxTokens int        `json:"max_tokens,omitempty"`
	InFlight  int        `json:"in_flight,omitempty"`
	Admin     bool       `json:"admin"`
}

func outOf(k tenant.Key) keyOut {
	o := keyOut{Name: k.Name, Prefix: k.Prefix, State: k.State(time.Now()), Created: k.Created, Adapters: k.Adapters,
		Rate: k.Rate.String(), Tokens: k.Tokens.String(), MaxTokens: k.MaxTokens, InFlight: k.InFlight, Admin: k.Admin}
	if !k.Expires.IsZero() {
		o.Expires = &k.Expires
	}
	return o
}

// secretOut is the JSON of commands that make a secret.
type secretOut struct {
	Key    keyOut `json:"key"`
	Secret string `json:"secret"`
	File   string `json:"file"`
}

func (a *app) printSecret(f tenant.File, k tenant.Key, secret string, note string) {
	a.finish(secretOut{outOf(k), secret, a.rel(f.Path)}, func() {
		a.printf("%s\n", secret)
		a.notef("the secret of %s: it is not kept and cannot be shown again%s", k.Name, note)
	})
}

type keysAddCmd struct {
	keyFile
	Name      string        `arg:"" help:"Name of the tenant, in metrics and logs."`
	Adapters  []string      `help:"Names of adapters or bases that it may use, * stands for any text (default: all)." placeholder:"NAME,..."`
	Rate      tenant.Rate   `help:"Requests it may make: 60/m (default: any number)." placeholder:"N/TIME"`
	Tokens    tenant.Rate   `help:"Tokens of prompts and completions it may use: 100k/h (default: any number)." placeholder:"N/TIME"`
	MaxTokens int           `help:"Tokens of one completion (default: the gateway's limit)." placeholder:"N"`
	InFlight  int           `help:"Requests at once (default: any number)." placeholder:"N"`
	Admin     bool          `help:"It may load and unload adapters."`
	Expires   time.Duration `help:"When it ends, from now: 720h (default: never)." placeholder:"TIME"`
}

func (c *keysAddCmd) Run(a *app) error {
	f, err := c.file(a)
	if err != nil {
		return err
	}
	if c.Expires < 0 {
		return usageError("--expires: is %s; expected a time from now, such as 720h", c.Expires)
	}
	now, ends := time.Now(), time.Time{}
	if c.Expires > 0 {
		ends = now.Add(c.Expires).UTC().Truncate(time.Second)
	}
	p := tenant.Policy{Adapters: c.Adapters, Rate: c.Rate, Tokens: c.Tokens, MaxTokens: c.MaxTokens, InFlight: c.InFlight, Admin: c.Admin}
	k, secret, err := f.Add(c.Name, p, ends, now)
	if err != nil {
		return err
	}
	a.printSecret(f, k, secret, "; a running dlm serve takes it within a second")
	return nil
}

type keysListCmd struct{ keyFile }

func (c *keysListCmd) Run(a *app) error {
	f, err := c.file(a)
	if err != nil {
		return err
	}
	keys, err := f.Keys()
	if err != nil {
		return err
	}
	out := make([]keyOut, len(keys))
	for i, k := range keys {
		out[i] = outOf(k)
	}
	a.finish(map[string]any{"file": a.rel(f.Path), "keys": out}, func() {
		if len(out) == 0 {
			a.printf("no keys: dlm serve answers this machine alone; dlm keys add NAME makes one\n")
		}
		for _, k := range out {
			a.printf("%-20s %s...  %-8s %s\n", k.Name, k.Prefix, k.State, k.limits())
		}
	})
	return nil
}

// limits are what the key may do, for people.
func (k keyOut) limits() string {
	parts := []string{"all adapters"}
	if len(k.Adapters) > 0 {
		parts[0] = strings.Join(k.Adapters, ",")
	}
	if k.Rate != "" {
		parts = append(parts, k.Rate+" requests")
	}
	if k.Tokens != "" {
		parts = append(parts, k.Tokens+" tokens")
	}
	if k.Admin {
		parts = append(parts, "admin")
	}
	if k.Expires != nil {
		parts = append(parts, "until "+k.Expires.Local().Format("2006-01-02 15:04"))
	}
	return strings.Join(parts, "  ")
}

type keysRevokeCmd struct {
	keyFile
	Name string `arg:"" help:"Name of the tenant."`
}

func (c *keysRevokeCmd) Run(a *app) error {
	f, err := c.file(a)
	if err != nil {
		return err
	}
	k, err := f.Revoke(c.Name, time.Now())
	if err != nil {
		return err
	}
	a.finish(map[string]any{"key": outOf(k), "file": a.rel(f.Path)}, func() {
		a.printf("%s is revoked; a running dlm serve refuses it within a second, requests under way are finished\n", k.Name)
	})
	return nil
}

type keysRotateCmd struct {
	keyFile
	Name  string        `arg:"" help:"Name of the tenant."`
	Grace time.Duration `help:"For which the secret before is good yet (default: it ends at once)." placeholder:"TIME"`
}

func (c *keysRotateCmd) Run(a *app) error {
	f, err := c.file(a)
	if err != nil {
		return err
	}
	if c.Grace < 0 {
		return usageError("--grace: is %s; expected a time, such as 24h", c.Grace)
	}
	k, secret, err := f.Rotate(c.Name, c.Grace, time.Now())
	if err != nil {
		return err
	}
	note := "; the one before is good no more"
	if c.Grace > 0 {
		note = "; the one before is good for " + c.Grace.String() + " yet"
	}
	a.printSecret(f, k, secret, note)
	return nil
}
