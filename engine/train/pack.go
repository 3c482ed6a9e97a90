package train

import "sort"

// packer puts the examples of a step into their canonical order and cuts it into
// micro-batches, without allocating once it has seen the largest step.
type packer struct {
	size   []int // rows of each example of the data
	order  []int // examples of the step, canonical
	bySize []int
	bin    []int // bin of each entry of bySize
	free   []int // rows left in each bin
	cuts   []int // start of each micro-batch in order, and its end
}

func newPacker(data []Example) *packer {
	p := &packer{size: make([]int, len(data))}
	for i, e := range data {
		p.size[i] = e.rows()
	}
	return p
}

// canonical returns the step's examples in the order in which their tokens enter
// every sum: best-fit decreasing into rows of capacity tokens, row after row.
// It depends on the examples of the step and on capacity (max_len) alone, not on
// how the step is cut into passes, so gradients do not depend on that either.
func (p *packer) canonical(step []int, capacity int) []int {
	p.bySize = append(p.bySize[:0], step...)
	sort.SliceStable(p.bySize, func(a, b int) bool { return p.size[p.bySize[a]] > p.size[p.bySize[b]] })
	p.bin, p.free, p.order = p.bin[:0], p.free[:0], p.order[:0]
	for _, e := range p.bySize {
		best := -1
		for b, free := range p.free {
			if free >= p.size[e] && (best < 0 || free < p.free[best]) {
				best = b
			}
		}
		if best < 0 {
			best = len(p.free)
			p.free = append(p.free, capacity)
		}
		p.free[best] -= p.size[e]
		p.bin = append(p.bin, best)
	}
	for b := range p.free {
		for i, e := range p.bySize {
			if p.bin[i] == b {
				p.order = append(p.order, e)
			}
		}
	}
	return p.order
}

// cut splits order into runs of at most examples examples (0: any number) and at
// most tokens rows (0: any number; an example that is longer stands alone), and
// returns the bounds: run i is order[cuts[i]:cuts[i+1]].
func (p *packer) cut(order []int, examples, tokens int) []int {
	p.cuts = append(p.cuts[:0], 0)
	rows, count := 0, 0
	for i, e := range order {
		full := (examples > 0 && count == examples) || (tokens > 0 && rows+p.size[e] > tokens)
		if count > 0 && full {
			p.cuts = append(p.cuts, i)
			rows, count = 0, 0
		}
		rows += p.size[e]
		count++
	}
	return append(p.cuts, len(order))
}

// rows sums the sizes of some examples.
func (p *packer) rows(idx []int) int {
	n := 0
	for _, e := range idx {
		n += p.size[e]
	}
	return n
}
