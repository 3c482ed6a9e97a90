package main

import (
	"cmp"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dlm/lifecycle"
	"dlm/serve"
	"dlm/serve/route"
)

// serveSettings are what dlm serve was asked for: the project's serve section,
// with the flags on top and defaults below.
type serveSettings struct {
	lifecycle.ServeSpec
	project        *lifecycle.Project // nil: none
	native         bool
	base, quantize string
	precision      string
	keys, state    string // files
	loras          []route.Named
	limits         serve.Limits
}

// Defaults of dlm serve.
const (
	defaultAddr    = "127.0.0.1:8080"
	defaultDrain   = 30 * time.Second
	defaultBody    = 4 << 20
	defaultTime    = 10 * time.Minute
	defaultChoices = 128
	defaultDraft   = 7 // more rows than eight in a step take their time each
)

// loadedName is the file in .dlm that keeps the names given while it runs.
const loadedName = "serve.json"

func (c *serveCmd) settings(a *app) (*serveSettings, error) {
	s := &serveSettings{precision: c.Precision, quantize: c.Quantize, base: c.Base}
	p, err := a.project(c.Set)
	switch {
	case c.Base != "": // the project is left out
	case err == nil:
		s.project, s.ServeSpec = p, p.Serve
		s.base = projectBase(p)
		if s.quantize == "" {
			s.quantize = p.Quantize
		}
		s.keys, s.state = projectKeys(p), filepath.Join(p.State(), loadedName)
	case errors.Is(err, lifecycle.ErrNoProject) && (c.NoNative || len(c.Set) == 0 && len(c.Upstream) > 0):
	case errors.Is(err, lifecycle.ErrNoProject):
		return nil, usageError("nothing to serve: expected --base REF, with --lora NAME=DIR for adapters, or a project: %w", err)
	default:
		return nil, err
	}
	if err := c.override(s); err != nil {
		return nil, err
	}
	s.native = s.base != "" && s.Native != "off"
	if !s.native && len(s.Upstreams) == 0 {
		return nil, usageError("nothing to serve: expected a base, or --upstream NAME=KIND:URL")
	}
	if s.native {
		s.BaseName = cmp.Or(s.BaseName, servedName(s.base))
	}
	for _, l := range c.Lora {
		name, dir, ok := strings.Cut(l, "=")
		if !ok || name == "" || dir == "" {
			return nil, usageError("--lora %s: expected NAME=DIR, such as bank=adapters/bank", l)
		}
		s.loras = append(s.loras, route.Named{Name: name, Dir: dir})
	}
	s.limits = serve.Limits{Body: int64(s.Limits.Body), Time: time.Duration(s.Limits.Time), Choices: s.Limits.Choices, Tokens: s.Limits.MaxTokens}
	return s, nil
}

// override puts flags before the file, and defaults behind it.
func (c *serveCmd) override(s *serveSettings) error {
	s.Addr = cmp.Or(c.Addr, s.Addr, defaultAddr)
	s.BaseName = cmp.Or(c.BaseName, s.BaseName)
	s.MaxSequences = cmp.Or(c.MaxSequences, s.MaxSequences)
	s.OwnPrefixes = s.OwnPrefixes || c.OwnPrefixes
	s.MaxQueue = cmp.Or(c.MaxQueue, s.MaxQueue)
	if s.Draft = cmp.Or(c.Draft, s.Draft); s.Draft == nil {
		s.Draft = new(defaultDraft)
	}
	s.keys = cmp.Or(c.Keys, s.keys)
	if s.Log.File != "" && s.Log.File != "none" && s.project != nil {
		s.Log.File = s.project.Path(s.Log.File)
	}
	s.Log.File = cmp.Or(c.Log, s.Log.File)
	s.Log.Prompts = s.Log.Prompts || c.LogPrompts
	s.OTel = cmp.Or(c.OTel, s.OTel)
	if c.MaxITL != nil {
		s.MaxITL = lifecycle.Duration(*c.MaxITL)
	}
	if c.Drain != nil {
		s.Drain = lifecycle.Duration(*c.Drain)
	} else {
		s.Drain = cmp.Or(s.Drain, lifecycle.Duration(defaultDrain))
	}
	if c.Cache != nil {
		s.Cache = *c.Cache
	}
	if c.AdapterMemory != nil {
		s.AdapterMemory = *c.AdapterMemory
	}
	if c.NoNative {
		s.Native = "off"
	}
	for flag, n := range map[string]int64{"--max-itl": int64(s.MaxITL), "--drain": int64(s.Drain), "--max-sequences": int64(s.MaxSequences), "--max-queue": int64(s.MaxQueue), "--draft": int64(*s.Draft)} {
		if n < 0 {
			return usageError("%s: is below 0", flag)
		}
	}
	for _, u := range c.Upstream {
		name, rest, ok := strings.Cut(u, "=")
		kind, url, more := strings.Cut(rest, ":")
		if !ok || !more || name == "" || !slices.Contains(lifecycle.UpstreamKinds, kind) || !strings.HasPrefix(url, "http") {
			return usageError("--upstream %s: expected NAME=KIND:URL, such as gpu=vllm:http://gpu-box:8000; kinds: %s", u, strings.Join(lifecycle.UpstreamKinds, ", "))
		}
		s.Upstreams = append(slices.Clone(s.Upstreams), lifecycle.ServeUpstream{Name: name, Kind: kind, URL: url})
	}
	s.Limits.Body = cmp.Or(s.Limits.Body, defaultBody)
	s.Limits.Time = cmp.Or(s.Limits.Time, lifecycle.Duration(defaultTime))
	s.Limits.Choices = cmp.Or(s.Limits.Choices, defaultChoices)
	return nil
}

// servedName is what requests call a base of this reference: smollm2-135m-instruct,
// owner/name of the Hub, the name of a file or folder.
func servedName(ref string) string {
	if repo, ok := strings.CutPrefix(ref, "hf:"); ok {
		repo, _, _ = strings.Cut(repo, "@")
		repo, _, _ = strings.Cut(repo, ":")
		return repo
	}
	name := strings.TrimSuffix(filepath.Base(filepath.Clean(ref)), ".gguf")
	return strings.Map(func(r rune) rune {
		if r == '@' || r == ' ' {
			return '-'
		}
		return r
	}, name)
}
