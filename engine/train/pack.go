package train

import "slices"

// packer puts the examples of a step into their canonical order and cuts it into
// micro-batches, without allocating once it has seen the largest step.
type packer struct {
	size   []int   // rows of each example of the data
	groups *groups // of examples that share a prefix
	units  []unit  // of the step, canonical
	order  []int   // examples of the step, canonical
	bySize []unit
	bin    []int // bin of each entry of bySize
	free   []int // rows left in each bin
	cuts   []int // start of each micro-batch in units, and its end
}

// unit is what no cut goes through: an example, or several that share a prefix.
type unit struct {
	lo, hi int // examples order[lo:hi]
	rows   int // of all of them in a pass
	first  int // place in the step of the first of them
}

// newPacker plans for data; share says whether examples share their prefixes.
func newPacker(data []Example, share bool) *packer {
	p := &packer{size: make([]int, len(data)), groups: newGroups(data, share)}
	for i, e := range data {
		p.size[i] = e.rows()
	}
	return p
}

// canonical puts the step's examples into the order in which their tokens enter
// every sum: units by best-fit decreasing into rows of capacity tokens, row after
// row. It depends on the examples of the step and on capacity (max_len) alone,
// not on how the step is cut into passes, so gradients do not depend on that
// either. The units and p.order are valid until the next call.
func (p *packer) canonical(step []int, capacity int) []unit {
	grouped, order := p.groups.of(step)
	p.bySize = append(p.bySize[:0], grouped...)
	slices.SortStableFunc(p.bySize, func(a, b unit) int {
		if a.rows != b.rows {
			return b.rows - a.rows
		}
		return a.first - b.first
	})
	p.bin, p.free, p.units, p.order = p.bin[:0], p.free[:0], p.units[:0], p.order[:0]
	for _, u := range p.bySize {
		best := -1
		for b, free := range p.free {
			if free >= u.rows && (best < 0 || free < p.free[best]) {
				best = b
			}
		}
		if best < 0 {
			best = len(p.free)
			p.free = append(p.free, capacity)
		}
		p.free[best] -= u.rows
		p.bin = append(p.bin, best)
	}
	for b := range p.free {
		for i, u := range p.bySize {
			if p.bin[i] == b {
				lo := len(p.order)
				p.order = append(p.order, order[u.lo:u.hi]...)
				p.units = append(p.units, unit{lo: lo, hi: len(p.order), rows: u.rows, first: u.first})
			}
		}
	}
	return p.units
}

// cut splits units into runs of at most examples examples (0: any number) and at
// most tokens rows (0: any number), where a unit that is larger stands alone, and
// returns the bounds: run i is units[cuts[i]:cuts[i+1]].
func (p *packer) cut(units []unit, examples, tokens int) []int {
	p.cuts = append(p.cuts[:0], 0)
	rows, count := 0, 0
	for i, u := range units {
		n := u.hi - u.lo
		full := (examples > 0 && count+n > examples) || (tokens > 0 && rows+u.rows > tokens)
		if count > 0 && full {
			p.cuts = append(p.cuts, i)
			rows, count = 0, 0
		}
		rows += u.rows
		count += n
	}
	return append(p.cuts, len(units))
}

// rowsOf sums the rows of some units.
func rowsOf(units []unit) int {
	n := 0
	for _, u := range units {
		n += u.rows
	}
	return n
}

// examples returns the examples of some units that follow one another.
func (p *packer) examples(units []unit) []int {
	return p.order[units[0].lo:units[len(units)-1].hi]
}
