package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dlm"
)

// Lineage is an artifact with everything it was made from.
type Lineage struct {
	Role     string            `json:"role,omitempty"` // what it was to the one below
	ID       dlm.Digest        `json:"id"`
	Kind     dlm.Kind          `json:"kind"`
	Name     string            `json:"name"`
	Created  time.Time         `json:"created"`
	Code     string            `json:"code,omitempty"`
	Seed     uint64            `json:"seed"`
	Params   map[string]string `json:"params,omitempty"`
	Runs     []string          `json:"runs,omitempty"`     // that made it
	Aliases  []string          `json:"aliases,omitempty"`  // that point at it now
	Repeated bool              `json:"repeated,omitempty"` // told above: its parents are left out here
	Parents  []*Lineage        `json:"parents,omitempty"`
}

// Trace walks from an artifact to everything it was made from.
func Trace(ctx context.Context, store dlm.Store, id dlm.Digest) (*Lineage, error) {
	runs, err := store.Runs(ctx)
	if err != nil {
		return nil, err
	}
	madeBy := map[dlm.Digest][]string{}
	for _, r := range runs {
		for _, o := range r.Outputs {
			madeBy[o] = append(madeBy[o], r.ID)
		}
	}
	history, err := store.History(ctx, "")
	if err != nil {
		return nil, err
	}
	aliases, seenAlias := map[dlm.Digest][]string{}, map[string]bool{}
	for _, c := range history { // newest first
		if !seenAlias[c.Alias] {
			aliases[c.Adapter] = append(aliases[c.Adapter], c.Alias)
			seenAlias[c.Alias] = true
		}
	}
	seen := map[dlm.Digest]bool{}
	var walk func(role string, id dlm.Digest) (*Lineage, error)
	walk = func(role string, id dlm.Digest) (*Lineage, error) {
		a, err := store.Artifact(ctx, id)
		if err != nil {
			return nil, err
		}
		l := &Lineage{Role: role, ID: id, Kind: a.Kind, Name: a.Name, Created: a.Created,
			Code: a.Code, Seed: a.Seed, Params: a.Params, Runs: madeBy[id], Aliases: aliases[id]}
		if seen[id] {
			l.Repeated = len(a.Parents) > 0
			return l, nil
		}
		seen[id] = true
		for _, p := range a.Parents {
			child, err := walk(p.Role, p.ID)
			if err != nil {
				return nil, fmt.Errorf("%s of %s: %w", p.Role, id.Short(), err)
			}
			l.Parents = append(l.Parents, child)
		}
		return l, nil
	}
	return walk("", id)
}

// Tree draws the lineage for people, the artifact first and what it was made
// from below it.
func (l *Lineage) Tree() string {
	var b strings.Builder
	l.draw(&b, "", "")
	return b.String()
}

func (l *Lineage) draw(b *strings.Builder, first, rest string) {
	b.WriteString(first)
	if l.Role != "" && l.Role != string(l.Kind) {
		fmt.Fprintf(b, "%s: ", l.Role)
	}
	fmt.Fprintf(b, "%s %s", l.Kind, l.ID.Short())
	if l.Name != "" {
		fmt.Fprintf(b, "  %s", l.Name)
	}
	for _, a := range l.Aliases {
		fmt.Fprintf(b, "  [%s]", a)
	}
	fmt.Fprintf(b, "  %s", l.Created.Local().Format("2006-01-02 15:04:05"))
	if len(l.Runs) > 0 {
		fmt.Fprintf(b, "  run %s", l.Runs[len(l.Runs)-1])
	}
	if l.Repeated {
		b.WriteString("  (as above)")
	}
	b.WriteByte('\n')
	bar := "   "
	if len(l.Parents) > 0 {
		bar = "│  "
	}
	if text := settings(l.Params); text != "" && !l.Repeated {
		fmt.Fprintf(b, "%s%s%s\n", rest, bar, text)
	}
	for i, p := range l.Parents {
		if i == len(l.Parents)-1 {
			p.draw(b, rest+"└─ ", rest+"   ")
		} else {
			p.draw(b, rest+"├─ ", rest+"│  ")
		}
	}
}

// settings is the parameters on one line, cut at a width for terminals.
func settings(params map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(params)) {
		if k != "stage" && params[k] != "" {
			parts = append(parts, k+"="+params[k])
		}
	}
	s := strings.Join(parts, " ")
	if r := []rune(s); len(r) > 100 {
		s = string(r[:97]) + "..."
	}
	return s
}
