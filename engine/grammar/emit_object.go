package grammar

import (
	"fmt"
	"slices"
)

// object takes an object of the shape: its properties in order, then others
// where the schema speaks of them or lists no properties at all.
func (c *compiler) object(s *shape) part {
	props := slices.Clone(s.props)
	open := s.hasOthers || len(s.props) == 0 && len(s.must) == 0
	for _, n := range s.must {
		if !slices.ContainsFunc(props, func(p shapeProperty) bool { return p.name == n }) {
			props = append(props, shapeProperty{n, s.others})
		}
	}
	if slices.ContainsFunc(s.others, func(t *schema) bool { return t.never }) {
		open = false
	}
	var loop span
	if open {
		loop = anyNumber
	}
	if s.members != anyNumber {
		var p part
		if loop, p = c.memberCount(s, len(props), open); p != nil {
			return p
		}
	}
	return func(next int32) int32 {
		shut := c.seq(c.space, c.lit("}"))(next)
		behind := shut // after at least one member
		start := int32(-1)
		if loop.hi > 0 {
			other := c.other(s, props)
			rest := loop.hi
			if rest != unlimited {
				rest--
			}
			if len(props) == 0 {
				start = other(c.loop(max(0, loop.lo-1), rest, c.seq(c.comma(), other))(shut))
			} else {
				behind = c.loop(loop.lo, loop.hi, c.seq(c.comma(), other))(shut)
				start = other(behind)
			}
		}
		// From the last property to the first: what comes when there were members
		// before it (behind), and when there were none (start).
		for i := len(props) - 1; i >= 0; i-- {
			this := c.member(c.lit(quote(props[i].name)), c.value(props[i].s))(behind)
			more := c.comma()(this)
			switch {
			case slices.Contains(s.must, props[i].name):
				start, behind = this, more
			case start < 0:
				start, behind = this, c.split(more, behind)
			default:
				start, behind = c.split(this, start), c.split(more, behind)
			}
		}
		empty := len(s.must) == 0 && s.members.lo == 0
		switch {
		case start < 0 && !empty:
			return c.alt()(next)
		case start < 0:
			return c.lit("{}")(next)
		case empty:
			return c.lit("{")(c.split(c.space(start), c.lit("}")(next)))
		}
		return c.seq(c.lit("{"), c.space)(start)
	}
}

// memberCount says how many others there may be so that there are as many
// members as the shape says; p, when not nil, is what to take instead.
func (c *compiler) memberCount(s *shape, props int, open bool) (loop span, p part) {
	lo, hi := int(s.members.lo), int(s.members.hi)
	must := len(s.must)
	switch {
	case hi < must || !open && lo > props:
		c.f.unmet(s.at, "it needs more, or fewer, properties than it may have")
		return loop, c.alt()
	case lo <= must && (hi >= props && !open || open && s.members.hi == unlimited):
		if open {
			loop = anyNumber
		}
		return loop, nil
	case open && props == 0 && lo <= 1:
		return s.members, nil
	}
	return loop, c.fail(fmt.Errorf("%s: minProperties and maxProperties beside optional properties, or a minProperties above 1, %w", s.at, errUnsupported))
}

// other takes a member that is none of the given properties.
func (c *compiler) other(s *shape, props []shapeProperty) part {
	name := c.text(0, unlimited)
	if len(props) > 0 {
		names := make([]string, len(props))
		for i, p := range props {
			names[i] = p.name
		}
		name = c.quoted(noneOf(names))
	}
	return c.member(name, c.value(s.others))
}

// noneOf is the expression of all texts but the given ones.
func noneOf(names []string) *expression {
	type node struct {
		kids map[rune]int32
		name bool
	}
	nodes := []node{{kids: map[rune]int32{}}}
	for _, n := range names {
		at := int32(0)
		for _, r := range n {
			k, ok := nodes[at].kids[r]
			if !ok {
				k = int32(len(nodes))
				nodes = append(nodes, node{kids: map[rune]int32{}})
				nodes[at].kids[r] = k
			}
			at = k
		}
		nodes[at].name = true
	}
	e := &expression{states: []charState{{class: anyChar, next: follow{to: []int32{0}, end: true}}}}
	// begin holds the states that take the character after a node.
	begin := make([][]int32, len(nodes))
	type way struct{ state, to int32 }
	var ways []way
	for i, n := range nodes {
		kids := make([]rune, 0, len(n.kids))
		for r := range n.kids {
			kids = append(kids, r)
		}
		slices.Sort(kids)
		begin[i] = append(begin[i], int32(len(e.states)))
		e.states = append(e.states, charState{class: without(anyChar, kids), next: follow{to: []int32{0}, end: true}})
		for _, r := range kids {
			begin[i] = append(begin[i], int32(len(e.states)))
			ways = append(ways, way{int32(len(e.states)), n.kids[r]})
			e.states = append(e.states, charState{class: class{r, r}})
		}
	}
	for _, w := range ways {
		e.states[w.state].next = follow{to: begin[w.to], end: !nodes[w.to].name}
	}
	e.start = follow{to: begin[0], end: !nodes[0].name}
	return e
}

// without returns c without the given characters, which are in order.
func without(c class, chars []rune) class {
	var keep class
	from := rune(0)
	for _, r := range chars {
		if r > from {
			keep = append(keep, from, r-1)
		}
		from = r + 1
	}
	keep = append(keep, from, anyChar[len(anyChar)-1])
	return meet(c, keep)
}
