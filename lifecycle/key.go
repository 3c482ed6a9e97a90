package lifecycle

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dlm"
)

// Key names a piece of work: the stage, the version of its code where that
// matters, its settings and its inputs. Equal keys mean equal work, whatever
// the order in which settings and inputs are given. The hashed text is
//
//	dlm stage 1\n
//	stage "name" code "version"\n
//	param "name" "value"\n     (sorted by name)
//	input "role" sha256:...\n  (sorted by role, then id)
func Key(stage, code string, params map[string]string, inputs []dlm.Parent) dlm.Digest {
	var b strings.Builder
	fmt.Fprintf(&b, "dlm stage 1\nstage %q code %q\n", stage, code)
	for _, k := range slices.Sorted(maps.Keys(params)) {
		fmt.Fprintf(&b, "param %q %q\n", k, params[k])
	}
	for _, p := range sortParents(inputs) {
		fmt.Fprintf(&b, "input %q %s\n", p.Role, p.ID)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return dlm.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

func sortParents(in []dlm.Parent) []dlm.Parent {
	out := slices.Clone(in)
	slices.SortFunc(out, func(a, b dlm.Parent) int { return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.ID, b.ID)) })
	return out
}

// Change is one difference between two runs of a stage.
type Change struct {
	What string `json:"what"` // setting or input, "lr", "data"
	From string `json:"from"` // empty = was not there
	To   string `json:"to"`   // empty = is gone
}

// String is the change for people: "lr 0.001 -> 0.0001".
func (c Change) String() string {
	none := func(s string) string {
		if s == "" {
			return "(none)"
		}
		if len(s) > 60 {
			return s[:57] + "..."
		}
		return s
	}
	return fmt.Sprintf("%s %s -> %s", c.What, none(c.From), none(c.To))
}

// Changes lists how settings and inputs differ, settings first.
func Changes(oldParams, newParams map[string]string, oldInputs, newInputs []dlm.Parent) []Change {
	var out []Change
	names := slices.Collect(maps.Keys(newParams))
	for k := range oldParams {
		if _, both := newParams[k]; !both {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for _, k := range names {
		if a, b := oldParams[k], newParams[k]; a != b {
			out = append(out, Change{k, a, b})
		}
	}
	byRole := func(in []dlm.Parent) map[string]string {
		m := map[string]string{}
		for _, p := range sortParents(in) {
			if m[p.Role] != "" {
				m[p.Role] += " "
			}
			m[p.Role] += p.ID.Short()
		}
		return m
	}
	if oldInputs == nil && newInputs == nil {
		return out
	}
	return append(out, Changes(byRole(oldInputs), byRole(newInputs), nil, nil)...)
}
