package grammar

import (
	"fmt"
	"slices"
	"strings"
)

// A conj is schemas that a value must meet all.
type conj []*schema

// add returns c with more schemas, each once.
func (c conj) add(more ...*schema) conj {
	out := slices.Clone(c)
	for _, s := range more {
		if s != nil && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// name tells conjunctions apart.
func (c conj) name() string {
	at := make([]string, len(c))
	for i, s := range c {
		at[i] = s.at
	}
	slices.Sort(at)
	return strings.Join(at, " & ")
}

// at is where a conjunction stands, for errors.
func (c conj) at() string {
	if len(c) == 0 {
		return "#"
	}
	return c[0].at
}

// shape is one way in which a value can meet a schema: no choices are left in
// it, but those of its types.
type shape struct {
	at    string
	types types // 0 = not said
	said  types

	hasEnum bool
	enum    []any
	lens    span
	exprs   []*expression
	window  window

	items   span
	first   []conj
	rest    conj
	hasRest bool // items was said

	props     []shapeProperty
	others    conj
	hasOthers bool // additionalProperties was said
	must      []string
	members   span
}

type shapeProperty struct {
	name string
	s    conj
}

// maxShapes bounds the ways in which one value can meet a schema.
const maxShapes = 256

// flattener turns schemas into shapes.
type flattener struct {
	d *document
	// open are the schemas under way: one that comes back to itself without a
	// value in between says nothing.
	open   []*schema
	reason error // the first contradiction that was met
}

// shapes returns the ways to meet all of c; none when it cannot be met.
func (f *flattener) shapes(c conj) ([]*shape, error) {
	list := []*shape{{at: c.at(), lens: anyNumber, items: anyNumber, members: anyNumber}}
	for _, s := range c {
		more, err := f.of(s)
		if err != nil {
			return nil, err
		}
		if list, err = f.cross(s.at, list, more); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (f *flattener) of(s *schema) ([]*shape, error) {
	if slices.Contains(f.open, s) {
		return nil, fmt.Errorf("%s: the schema refers to itself without a value in between: %w", s.at, errUnmet)
	}
	f.open = append(f.open, s)
	defer func() { f.open = f.open[:len(f.open)-1] }()
	if s.never {
		f.unmet(s.at, "the schema is false")
		return nil, nil
	}
	list := []*shape{s.shape()}
	if s.ref != "" {
		t, err := f.d.target(s)
		if err != nil {
			return nil, err
		}
		if list, err = f.with(list, t); err != nil {
			return nil, err
		}
	}
	for _, t := range s.all {
		var err error
		if list, err = f.with(list, t); err != nil {
			return nil, err
		}
	}
	for _, choice := range []struct {
		at     string
		of     []*schema
		unique bool
	}{{s.anyAt, s.any, false}, {s.oneAt, s.one, true}} {
		if len(choice.of) == 0 {
			continue
		}
		branches := make([][]*shape, len(choice.of))
		var all []*shape
		for i, t := range choice.of {
			var err error
			if branches[i], err = f.of(t); err != nil {
				return nil, err
			}
			all = append(all, branches[i]...)
		}
		if choice.unique {
			var of types
			for _, x := range list {
				of |= x.possible()
			}
			if err := f.apart(choice.at, of, branches); err != nil {
				return nil, err
			}
		}
		var err error
		if list, err = f.cross(choice.at, list, all); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (f *flattener) with(list []*shape, s *schema) ([]*shape, error) {
	more, err := f.of(s)
	if err != nil {
		return nil, err
	}
	return f.cross(s.at, list, more)
}

func (f *flattener) unmet(at, why string) {
	if f.reason == nil {
		f.reason = fmt.Errorf("%s: %s: %w", at, why, errUnmet)
	}
}

// cross returns the ways to be as one of a and one of b.
func (f *flattener) cross(at string, a, b []*shape) ([]*shape, error) {
	if len(a)*len(b) > maxShapes {
		return nil, fmt.Errorf("%s: there are more than %d combinations of its choices: %w", at, maxShapes, errTooLarge)
	}
	var out []*shape
	for _, x := range a {
		for _, y := range b {
			z, why, err := f.merge(x, y)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
			if why != "" {
				f.unmet(at, why)
				continue
			}
			out = append(out, z)
		}
	}
	return out, nil
}

// shape is what the schema itself says, without the schemas beside it.
func (s *schema) shape() *shape {
	out := &shape{
		at: s.at, types: s.types, said: s.said, hasEnum: s.hasEnum, enum: s.enum,
		lens: s.lens, exprs: s.exprs, window: s.window, items: s.items, members: s.members, must: s.must,
		hasRest: s.rest != nil, rest: conj{}.add(s.rest), hasOthers: s.others != nil, others: conj{}.add(s.others),
	}
	for _, t := range s.first {
		out.first = append(out.first, conj{t})
	}
	for _, p := range s.props {
		out.props = append(out.props, shapeProperty{p.name, conj{p.s}})
	}
	return out
}

// property returns what a shape says of a property.
func (s *shape) property(name string) conj {
	for _, p := range s.props {
		if p.name == name {
			return p.s
		}
	}
	return s.others
}

// item returns what a shape says of an item.
func (s *shape) item(i int) conj {
	if i < len(s.first) {
		return s.first[i]
	}
	return s.rest
}

// merge returns the shape of what is as a and as b; why says that nothing is.
func (f *flattener) merge(a, b *shape) (c *shape, why string, err error) {
	c = &shape{at: a.at, types: a.types, said: a.said | b.said}
	if c.types == 0 {
		c.types = b.types
	} else if b.types != 0 {
		if c.types &= b.types; c.types == 0 {
			return nil, "no type is allowed by both", nil
		}
	}
	if c.lens = a.lens.meet(b.lens); c.lens.lo > c.lens.hi {
		return nil, "minLength is above maxLength", nil
	}
	if c.items = a.items.meet(b.items); c.items.lo > c.items.hi {
		return nil, "minItems is above maxItems", nil
	}
	if c.members = a.members.meet(b.members); c.members.lo > c.members.hi {
		return nil, "minProperties is above maxProperties", nil
	}
	if c.window = a.window.meet(b.window); c.window.empty(c.types&tNumber == tInteger) {
		return nil, "no number lies between the bounds", nil
	}
	c.exprs = append(slices.Clone(a.exprs), b.exprs...)
	switch c.hasEnum, c.enum = a.hasEnum || b.hasEnum, a.enum; {
	case a.hasEnum && b.hasEnum:
		if c.enum = common(a.enum, b.enum); len(c.enum) == 0 {
			return nil, "no value is allowed by both", nil
		}
	case b.hasEnum:
		c.enum = b.enum
	}
	for i := range max(len(a.first), len(b.first)) {
		c.first = append(c.first, a.item(i).add(b.item(i)...))
	}
	c.rest, c.hasRest = a.rest.add(b.rest...), a.hasRest || b.hasRest
	for _, p := range a.props {
		c.props = append(c.props, shapeProperty{p.name, p.s.add(b.property(p.name)...)})
	}
	for _, p := range b.props {
		if !slices.ContainsFunc(a.props, func(q shapeProperty) bool { return q.name == p.name }) {
			c.props = append(c.props, shapeProperty{p.name, p.s.add(a.others...)})
		}
	}
	c.others, c.hasOthers = a.others.add(b.others...), a.hasOthers || b.hasOthers
	for _, n := range append(slices.Clone(a.must), b.must...) {
		if !slices.Contains(c.must, n) {
			c.must = append(c.must, n)
		}
	}
	return c, "", nil
}
