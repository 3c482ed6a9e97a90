package main

import (
	"errors"

	"dlm/driver/native"
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
		MaxSequences: s.MaxSequences, MaxQueue: s.MaxQueue, Draft: s.Draft,
		CacheBytes: int64(s.Cache), AdapterBytes: int64(s.AdapterMemory),
	})
	if err != nil {
		return route.Engine{}, watch.Engine{}, err
	}
	a.onClose(n.Close)
	e := route.Engine{
		Name: nativeName, Model: s.BaseName, Root: pulled.Ref, Base: n.Digest(), Template: n.Identity().TemplateHash, Context: n.Context(),
		Generator: n, Scorer: n, Codec: n, Host: n, Folders: true,
	}
	if s.project != nil {
		e.System = s.project.System
	}
	return e, watch.Engine{Name: nativeName, Stats: n, Adapters: n}, nil
}

// upstreams are the servers that answer besides the native engine.
func (a *app) upstreams(s *serveSettings) ([]route.Engine, []*route.Pool, error) {
	if len(s.Upstreams) == 0 {
		return nil, nil, nil
	}
	return nil, nil, errors.New("upstreams: not yet")
}
