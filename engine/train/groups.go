package train

import (
	"slices"

	"dlm/engine/model"
)

// groupRows is the number of rows that a group of examples with a common prefix
// may have: as many as keep the multiply busy. A group around a longer example
// may have half as many again as that example, so that two completions of one
// long prompt share it.
const groupRows = 512

// groups decides which examples of a step share a prefix. It looks at the step's
// examples and constants only, never at memory, passes or threads: a gradient
// that is summed over a group before it is rounded has other last bits than one
// summed over its examples, so the groups are part of what a run is.
type groups struct {
	ids    [][]int32 // of each example of the data: the tokens that have rows
	share  bool
	limit  int // rows of a group; 0: by groupRows
	forest model.Forest
	place  []place
	units  []unit
	order  []int
	seqs   [][]int32
}

// place is an example and where in the step it stands.
type place struct{ example, at int }

func newGroups(data []Example, share bool) *groups {
	g := &groups{share: share}
	for _, e := range data {
		g.ids = append(g.ids, e.IDs[:e.rows()])
	}
	return g
}

// of returns the step's examples as units, order[u.lo:u.hi] each, those of a
// unit in the order in which a Forest takes them.
func (g *groups) of(step []int) (units []unit, order []int) {
	g.place, g.units, g.order = g.place[:0], g.units[:0], g.order[:0]
	for at, i := range step {
		g.place = append(g.place, place{i, at})
	}
	if g.share {
		slices.SortStableFunc(g.place, func(a, b place) int {
			return model.CompareSequences(g.ids[a.example], g.ids[b.example])
		})
	}
	for lo := 0; lo < len(g.place); {
		hi, rows := g.group(lo)
		u := unit{lo: lo, hi: hi, rows: rows, first: len(step)}
		for _, p := range g.place[lo:hi] {
			g.order = append(g.order, p.example)
			u.first = min(u.first, p.at)
		}
		g.units = append(g.units, u)
		lo = hi
	}
	return g.units, g.order
}

// group returns the end of the group that begins with place lo, and its rows.
func (g *groups) group(lo int) (hi, rows int) {
	first := g.ids[g.place[lo].example]
	g.seqs = append(g.seqs[:0], first)
	rows, longest := len(first), len(first)
	for hi = lo + 1; g.share && hi < len(g.place); hi++ {
		next := g.ids[g.place[hi].example]
		if model.CommonPrefix(first, next) < model.MinShared {
			break
		}
		g.seqs = append(g.seqs, next)
		longest = max(longest, len(next))
		limit := g.limit
		if limit == 0 {
			limit = max(groupRows, longest+longest/2)
		}
		n := g.forest.RowsOf(g.seqs...)
		if n > limit {
			break
		}
		rows = n
	}
	return hi, rows
}
