package route

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"dlm/serve"
	"dlm/stage/registry"
)

// source says where a name comes from.
type source string

const (
	fromBase     source = "a base"
	fromFlag     source = "an adapter named at the start"
	fromLoad     source = "an adapter that was loaded"
	fromStore    source = "an adapter of the project's store"
	fromUpstream source = "a model of an upstream"
)

// entry is a name and what it means.
type entry struct {
	name     string
	source   source
	engine   *Engine      // bases and upstreams' models
	model    *EngineModel // an upstream's; nil = the base
	versions []*version   // newest first
	aliases  map[string]pointer
}

// pointer is where an alias points.
type pointer struct {
	to     *version
	share  float64
	broken error // why its adapter cannot be served; nil = it can
}

// only is the version that a name means without an alias, if it has none called
// prod: its only one.
func (e *entry) only() *version {
	if len(e.versions) == 1 {
		return e.versions[0]
	}
	return nil
}

// view is all names at one moment. It does not change once it is made.
type view struct {
	names  map[string]*entry
	models []serve.Model
}

// newView joins names; of two that are the same the earlier one counts, and the
// other is returned.
func newView(entries []*entry) (*view, []*entry) {
	v := &view{names: map[string]*entry{}}
	var hidden, kept []*entry
	for _, e := range entries {
		if _, taken := v.names[e.name]; taken {
			hidden = append(hidden, e)
			continue
		}
		v.names[e.name] = e
		kept = append(kept, e)
	}
	rank := func(e *entry) int {
		if e.source == fromBase {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(kept, func(a, b *entry) int {
		if c := cmp.Compare(rank(a), rank(b)); c != 0 || rank(a) == 0 {
			return c // bases in the order of the engines
		}
		return cmp.Compare(a.name, b.name)
	})
	for _, e := range kept {
		v.models = append(v.models, e.models()...)
	}
	return v, hidden
}

// models are the lines of /v1/models for one name: itself, when it can be asked
// for alone, each of its aliases, and versions that have no other name.
func (e *entry) models() []serve.Model {
	if e.engine != nil {
		m := serve.Model{ID: e.name, Root: cmp.Or(e.engine.Root, string(e.engine.Base), e.name), OwnedBy: e.engine.Name, Context: e.engine.Context}
		if e.model != nil {
			m.Root, m.Parent = cmp.Or(e.model.Root, e.model.Ref, e.name), e.model.Parent
		}
		return []serve.Model{m}
	}
	var out []serve.Model
	line := func(id string, v *version) {
		if v.broken != nil {
			return
		}
		m := serve.Model{ID: id, Root: cmp.Or(v.at(), string(v.digest)), Parent: v.engine.Model, Created: v.created.Truncate(time.Second),
			OwnedBy: v.engine.Name, Context: v.engine.Context, Adapter: v.digest}
		for _, alias := range slices.Sorted(maps.Keys(e.aliases)) {
			if e.aliases[alias].to == v && e.aliases[alias].broken == nil {
				m.Aliases = append(m.Aliases, alias)
			}
		}
		out = append(out, m)
	}
	if p, ok := e.aliases[registry.Prod]; ok && p.broken == nil {
		line(e.name, p.to)
	} else if v := e.only(); v != nil && !ok {
		line(e.name, v)
	}
	for _, alias := range slices.Sorted(maps.Keys(e.aliases)) {
		if p := e.aliases[alias]; p.broken == nil {
			line(e.name+"@"+alias, p.to)
		}
	}
	if len(e.aliases) == 0 && len(e.versions) > 1 {
		for _, v := range e.versions {
			line(e.name+"@"+v.digest.Short(), v)
		}
	}
	return out
}
