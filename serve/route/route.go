package route

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dlm"
	"dlm/serve"
	"dlm/stage/registry"
)

// Route resolves a name. See [serve.Router].
func (c *Catalog) Route(ctx context.Context, q serve.Query) (serve.Target, error) {
	if err := c.Ready(); err != nil {
		return serve.Target{}, &dlm.Fault{Kind: dlm.FaultBusy, Param: "model", Retry: time.Second, Err: err}
	}
	e, what := c.view.Load().find(q.Model)
	if e == nil || !e.knows(what) { // it may have come to the store since that was read last
		c.lookAgain(ctx)
		e, what = c.view.Load().find(q.Model)
	}
	if e == nil {
		return serve.Target{}, c.view.Load().unknown(q)
	}
	return c.resolve(ctx, e, what, q)
}

// find splits NAME@WHAT, of which NAME is known.
func (v *view) find(model string) (e *entry, what string) {
	if e := v.names[model]; e != nil {
		return e, "" // also names that hold an @
	}
	i := strings.LastIndexByte(model, '@')
	if i < 0 || i == len(model)-1 {
		return nil, ""
	}
	return v.names[model[:i]], model[i+1:]
}

// knows says whether NAME@what means something.
func (e *entry) knows(what string) bool {
	if what == "" {
		return true
	}
	_, ok := e.aliases[what]
	return ok || e.version(what) != nil
}

// version finds a version by its digest or a beginning of it that no other has.
func (e *entry) version(ref string) *version {
	hex := strings.TrimPrefix(ref, "sha256:")
	if len(hex) < 4 {
		return nil
	}
	var found *version
	for _, v := range e.versions {
		if strings.HasPrefix(v.digest.Hex(), hex) {
			if found != nil {
				return nil
			}
			found = v
		}
	}
	return found
}

// resolve finds what a name and what stands after its @ mean.
func (c *Catalog) resolve(ctx context.Context, e *entry, what string, q serve.Query) (serve.Target, error) {
	if e.engine != nil {
		if what != "" {
			return serve.Target{}, dlm.Faultf(dlm.FaultUnknown, "model", "model %q: %s is %s, which has neither aliases nor versions", clip(q.Model), e.name, e.source)
		}
		t := e.engine.target(q.Model, e.name)
		if e.model != nil {
			t.Ref = e.model.Ref
		}
		return t, nil
	}
	if what != "" {
		if p, ok := e.aliases[what]; ok {
			return p.target(ctx, q.Model, what)
		}
		if v := e.version(what); v != nil {
			return v.target(ctx, q.Model, "")
		}
		return serve.Target{}, dlm.Faultf(dlm.FaultUnknown, "model", "model %q: %s has no such alias or version; expected one of %s", clip(q.Model), e.name, e.choices())
	}
	prod, ok := e.aliases[registry.Prod]
	switch {
	case ok:
		canary, has := e.aliases[registry.Canary]
		if has && canary.broken == nil && canary.share > 0 && canary.to != prod.to && side(e.name, q.Sticky, c.o.Draw) < canary.share {
			return canary.target(ctx, q.Model, registry.Canary)
		}
		return prod.target(ctx, q.Model, registry.Prod)
	case e.only() != nil:
		return e.only().target(ctx, q.Model, "")
	}
	return serve.Target{}, dlm.Faultf(dlm.FaultUnknown, "model", "model %q has %d versions and no alias %s; expected one of %s (dlm adapters promote VERSION --alias %s@%s sets one)",
		clip(q.Model), len(e.versions), registry.Prod, e.choices(), e.name, registry.Prod)
}

func (p pointer) target(ctx context.Context, model, alias string) (serve.Target, error) {
	if p.broken != nil {
		return serve.Target{}, unservable(model, p.broken)
	}
	return p.to.target(ctx, model, alias)
}

// choices lists what may stand after the @ of a name.
func (e *entry) choices() string {
	var out []string
	for _, alias := range slices.Sorted(maps.Keys(e.aliases)) {
		out = append(out, e.name+"@"+alias)
	}
	const most = 6
	for i, v := range e.versions {
		if i == most {
			out = append(out, fmt.Sprintf("%d more", len(e.versions)-most))
			break
		}
		out = append(out, e.name+"@"+v.digest.Short())
	}
	return strings.Join(out, ", ")
}

// Models lists the names. See [serve.Router].
func (c *Catalog) Models(context.Context) ([]serve.Model, error) {
	return slices.Clone(c.view.Load().models), nil
}
