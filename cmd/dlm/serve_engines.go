package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"dlm"
	"dlm/driver/native"
	"dlm/driver/openai"
	"dlm/lifecycle"
	"dlm/serve/route"
	"dlm/serve/watch"
)

// nativeName is the native engine's in headers and metrics.
const nativeName = "native"

// nativeEngine loads the base.
func (a *app) nativeEngine(s *serveSettings) (route.Engine, watch.Engine, error) {
	pulled, err := a.pull(s.base)
	if err != nil {
		return route.Engine{}, watch.Engine{}, err
	}
	n, err := native.OpenPulled(pulled, native.Options{
		Precision: s.precision, Quantize: s.quantize, Threads: a.flags.Threads, Code: version(),
		MaxSequences: s.MaxSequences, MaxQueue: s.MaxQueue, OwnPrefixes: s.OwnPrefixes, Draft: *s.Draft,
		CacheBytes: int64(s.Cache), AdapterBytes: int64(s.AdapterMemory), MaxITL: time.Duration(s.MaxITL),
	})
	if err != nil {
		return route.Engine{}, watch.Engine{}, err
	}
	a.onClose(n.Close)
	// The cache is made with the first token: here, not while somebody waits.
	if _, err := n.Generate(a.ctx, []dlm.GenerateRequest{{Raw: "a", Sampling: dlm.Sampling{MaxTokens: 1}}}, nil); err != nil {
		return route.Engine{}, watch.Engine{}, fmt.Errorf("the base does not answer: %w", err)
	}
	e := route.Engine{
		Name: nativeName, Model: s.BaseName, Root: pulled.Ref, Base: n.Digest(), Template: n.Identity().TemplateHash, Context: n.Context(),
		Generator: n, Scorer: n, Codec: n, Host: n, Folders: true,
	}
	if s.project != nil {
		e.System = s.project.System
	}
	return e, watch.Engine{Name: nativeName, Stats: n, Adapters: n}, nil
}

// upstreams are the servers that answer besides the native engine: one engine a
// name, whose replicas share a pool. All kinds are spoken to by OpenAI's API.
func (a *app) upstreams(s *serveSettings) (engines []route.Engine, pools []*route.Pool, err error) {
	byName := map[string][]lifecycle.ServeUpstream{}
	var names []string
	for _, u := range s.Upstreams {
		if byName[u.Name] == nil {
			names = append(names, u.Name)
		}
		byName[u.Name] = append(byName[u.Name], u)
	}
	for _, name := range names {
		e, p, err := a.upstream(name, byName[name])
		if err != nil {
			return nil, nil, fmt.Errorf("upstream %s: %w", name, err)
		}
		engines, pools = append(engines, e), append(pools, p)
	}
	return engines, pools, nil
}

// upstream makes the engine of one name.
func (a *app) upstream(name string, replicas []lifecycle.ServeUpstream) (route.Engine, *route.Pool, error) {
	e := route.Engine{Name: name, Root: replicas[0].URL}
	var rs []route.Replica
	for i, u := range replicas {
		if u.Kind != replicas[0].Kind || u.InFlight != replicas[0].InFlight || i > 0 && len(u.Models) > 0 && !slices.Equal(u.Models, replicas[0].Models) {
			return e, nil, fmt.Errorf("%s and %s are replicas of one name and differ in kind, models or in_flight; give them names of their own, or the same settings", replicas[0].URL, u.URL)
		}
		d, err := a.upstreamDriver(u)
		if err != nil {
			return e, nil, err
		}
		rs = append(rs, route.Replica{Name: u.URL, Generator: d, Embedder: d, Health: d.Health})
		if i > 0 {
			continue
		}
		if e.Models, err = a.upstreamModels(d, u); err != nil {
			return e, nil, err
		}
	}
	p, err := route.NewPool(name, rs, route.PoolOptions{InFlight: replicas[0].InFlight})
	if err != nil {
		return e, nil, err
	}
	e.Generator, e.Embedder = p, p
	return e, p, nil
}

func (a *app) upstreamDriver(u lifecycle.ServeUpstream) (*openai.Engine, error) {
	o := openai.Options{URL: u.URL, Name: u.Name, VLLM: u.Kind == "vllm", NoLogProbs: u.Kind == "ollama", Refuses: openai.Ignored(u.Kind), Wrap: watch.Transport}
	if u.APIKeyEnv != "" {
		if o.APIKey = os.Getenv(u.APIKeyEnv); o.APIKey == "" {
			return nil, usageError("api_key_env names %s, which is not set", u.APIKeyEnv)
		}
	}
	d, err := openai.New(o)
	if err != nil {
		return nil, err
	}
	a.onClose(d.Close)
	return d, nil
}

// upstreamModels are the names that go to an upstream: those of the file, else
// those that it lists.
func (a *app) upstreamModels(d *openai.Engine, u lifecycle.ServeUpstream) (out []route.EngineModel, err error) {
	for _, m := range u.Models {
		name, theirs, ok := strings.Cut(m, "=")
		if !ok {
			theirs = name
		}
		out = append(out, route.EngineModel{Name: strings.TrimSpace(name), Ref: strings.TrimSpace(theirs), Root: strings.TrimSpace(theirs)})
	}
	if len(out) > 0 {
		return out, nil
	}
	ctx, cancel := context.WithTimeout(a.ctx, 10*time.Second)
	defer cancel()
	listed, err := d.Models(ctx)
	if err != nil {
		return nil, fmt.Errorf("it was asked for its models: %w; start it first, or name them under models", err)
	}
	for _, m := range listed {
		out = append(out, route.EngineModel{Name: m.ID, Ref: m.ID, Root: cmp.Or(m.Root, m.ID), Parent: m.Parent})
	}
	if len(out) == 0 {
		return nil, errors.New("it lists no models; name them under models")
	}
	return out, nil
}
