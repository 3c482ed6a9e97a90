package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dlm"
)

// Aliases with a meaning of their own.
const (
	Prod   = "prod"   // what a name means without an alias
	Canary = "canary" // may take a share of the requests for the name
)

// ErrUnknown is wrapped when a name, alias or version is not there.
var ErrUnknown = errors.New("not found")

// Names says what adapters are called at one moment. The adapters of one name
// are its versions.
type Names struct {
	project  string
	versions map[string][]dlm.Artifact // newest first
	aliases  map[string]dlm.AliasChange
	byID     map[dlm.Digest]dlm.Artifact
}

// ReadNames reads the names of the store of a project.
func ReadNames(ctx context.Context, store dlm.Store, project string) (*Names, error) {
	adapters, err := store.Artifacts(ctx, dlm.KindAdapter)
	if err != nil {
		return nil, err
	}
	history, err := store.History(ctx, "")
	if err != nil {
		return nil, err
	}
	return NewNames(project, adapters, history), nil
}

// NewNames makes them from adapters and alias changes, both newest first.
func NewNames(project string, adapters []dlm.Artifact, history []dlm.AliasChange) *Names {
	n := &Names{project: project, versions: map[string][]dlm.Artifact{}, aliases: map[string]dlm.AliasChange{}, byID: map[dlm.Digest]dlm.Artifact{}}
	for _, a := range adapters {
		n.versions[a.Name] = append(n.versions[a.Name], a)
		n.byID[a.ID] = a
	}
	for _, c := range history {
		if _, seen := n.aliases[c.Alias]; !seen {
			n.aliases[c.Alias] = c
		}
	}
	return n
}

// List returns the names, sorted: those of adapters, and the project's when an
// alias of the whole project gives it a meaning.
func (n *Names) List() []string {
	names := slices.Collect(maps.Keys(n.versions))
	if _, ok := n.versions[n.project]; !ok && len(n.Aliases(n.project)) > 0 {
		names = append(names, n.project)
	}
	slices.Sort(names)
	return names
}

// Versions returns the adapters of a name, newest first.
func (n *Names) Versions(name string) []dlm.Artifact { return n.versions[name] }

// Adapter returns the adapter that a change points at.
func (n *Names) Adapter(id dlm.Digest) (dlm.Artifact, bool) {
	a, ok := n.byID[id]
	return a, ok
}

// Aliases returns where the aliases of a name point now. An alias of the name
// itself ("NAME@prod") wins over the project's of the same word ("prod"), which
// counts for the project's name and for every name whose adapter it points at.
func (n *Names) Aliases(name string) map[string]dlm.AliasChange {
	out := map[string]dlm.AliasChange{}
	if name == "" {
		return out
	}
	for stored, c := range n.aliases {
		scope, alias, err := dlm.ParseAlias(stored)
		target, ok := n.byID[c.Adapter]
		if err != nil || !ok {
			continue
		}
		switch _, own := n.aliases[dlm.ScopedAlias(name, alias)]; {
		case scope == name, scope == "" && !own && (name == n.project || target.Name == name):
			out[alias] = c
		}
	}
	return out
}

// Version finds the adapter of a name by its digest or the beginning of it, at
// least four digits long.
func (n *Names) Version(name, ref string) (dlm.Artifact, bool) {
	hex := strings.TrimPrefix(ref, "sha256:")
	if len(hex) < 4 {
		return dlm.Artifact{}, false
	}
	var found []dlm.Artifact
	for _, a := range n.versions[name] {
		if strings.HasPrefix(a.ID.Hex(), hex) {
			found = append(found, a)
		}
	}
	if len(found) != 1 {
		return dlm.Artifact{}, false
	}
	return found[0], true
}

// at finds NAME@ALIAS or NAME@DIGEST.
func (n *Names) at(name, what string) (dlm.Artifact, error) {
	if c, ok := n.Aliases(name)[what]; ok {
		return n.byID[c.Adapter], nil
	}
	if a, ok := n.Version(name, what); ok {
		return a, nil
	}
	var has []string
	for alias := range n.Aliases(name) {
		has = append(has, name+"@"+alias)
	}
	slices.Sort(has)
	for _, a := range n.versions[name] {
		has = append(has, name+"@"+a.ID.Short())
	}
	if len(has) == 0 {
		return dlm.Artifact{}, fmt.Errorf("%q: %w: no adapter is called %s", name+"@"+what, ErrUnknown, name)
	}
	return dlm.Artifact{}, fmt.Errorf("%q: %w; expected one of %s", name+"@"+what, ErrUnknown, strings.Join(has, ", "))
}

// Resolve turns what a person writes into an adapter: an alias of the project
// ("prod"), NAME@ALIAS, NAME@DIGEST, or what Store.Find understands (the newest
// of a name).
func Resolve(ctx context.Context, store dlm.Store, project, ref string) (dlm.Artifact, error) {
	if c, ok, err := Current(ctx, store, ref); err != nil {
		return dlm.Artifact{}, err
	} else if ok {
		return store.Artifact(ctx, c.Adapter)
	}
	if i := strings.LastIndexByte(ref, '@'); i > 0 {
		n, err := ReadNames(ctx, store, project)
		if err != nil {
			return dlm.Artifact{}, err
		}
		if _, named := n.versions[ref]; !named { // a name may hold an @ itself
			return n.at(ref[:i], ref[i+1:])
		}
	}
	return store.Find(ctx, dlm.KindAdapter, ref)
}
