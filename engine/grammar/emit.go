package grammar

import (
	"encoding/json"
	"fmt"
	"slices"
)

// compiler writes shapes as a program.
type compiler struct {
	*builder
	f   *flattener
	err error // the first; what is written after it is not used
}

func (c *compiler) fail(err error) part {
	if c.err == nil {
		c.err = err
	}
	return c.alt()
}

// value takes a value that meets all of s: any value, when s is empty.
func (c *compiler) value(s conj) part {
	return c.call(s.name(), func() part {
		if c.err != nil {
			return c.alt()
		}
		list, err := c.f.shapes(s)
		if err != nil {
			return c.fail(err)
		}
		parts := make([]part, len(list))
		for i, x := range list {
			parts[i] = c.shape(x)
		}
		return c.alt(parts...)
	})
}

func (c *compiler) shape(s *shape) part {
	if s.hasEnum {
		return c.constants(s)
	}
	t := s.types
	if t == 0 {
		t = s.said
	}
	if t == 0 {
		t = allTypes
	}
	var parts []part
	if t&tObject != 0 {
		parts = append(parts, c.object(s))
	}
	if t&tArray != 0 {
		parts = append(parts, c.array(s))
	}
	if t&tString != 0 {
		parts = append(parts, c.string(s))
	}
	switch {
	case t&tFraction != 0:
		parts = append(parts, c.number(s.window))
	case t&tInteger != 0:
		parts = append(parts, c.integer(s.window))
	}
	if t&tBool != 0 {
		parts = append(parts, c.lit("true"), c.lit("false"))
	}
	if t&tNull != 0 {
		parts = append(parts, c.lit("null"))
	}
	return c.alt(parts...)
}

// typeOf returns the type of a constant.
func typeOf(v any) types {
	switch v := v.(type) {
	case *object:
		return tObject
	case []any:
		return tArray
	case string:
		return tString
	case json.Number:
		if d, err := parseDecimal(string(v)); err == nil && d.part == "" {
			return tInteger
		}
		return tFraction
	case bool:
		return tBool
	}
	return tNull
}

// constants takes one of the shape's constants.
func (c *compiler) constants(s *shape) part {
	var parts []part
	for _, v := range s.allowed() {
		if s.said&typeOf(v) != 0 || s.said&tNumber != 0 && typeOf(v)&tNumber != 0 {
			return c.fail(fmt.Errorf("%s: other keywords beside const or enum: leave out the values that they rule out, then the keywords; together %w", s.at, errUnsupported))
		}
		parts = append(parts, c.constant(v))
	}
	if len(parts) == 0 {
		c.f.unmet(s.at, "no constant is of an allowed type")
	}
	return c.alt(parts...)
}

func (c *compiler) constant(v any) part {
	switch v := v.(type) {
	case *object:
		members := make([]part, len(v.names))
		for i, n := range v.names {
			members[i] = c.member(c.lit(quote(n)), c.constant(v.values[n]))
		}
		return c.enclosed("{", "}", members)
	case []any:
		items := make([]part, len(v))
		for i, x := range v {
			items[i] = c.constant(x)
		}
		return c.enclosed("[", "]", items)
	case string:
		return c.lit(quote(v))
	case json.Number:
		return c.lit(string(v))
	case bool:
		return c.lit(fmt.Sprint(v))
	}
	return c.lit("null")
}

func (c *compiler) enclosed(open, shut string, parts []part) part {
	if len(parts) == 0 {
		return c.lit(open + shut)
	}
	all := []part{c.lit(open), c.space}
	for i, p := range parts {
		if i > 0 {
			all = append(all, c.comma())
		}
		all = append(all, p)
	}
	return c.seq(append(all, c.space, c.lit(shut))...)
}

func (c *compiler) comma() part { return c.seq(c.lit(","), c.space) }

func (c *compiler) member(name, value part) part {
	return c.seq(name, c.lit(":"), c.opt(c.lit(" ")), value)
}

// string takes a string of the shape.
func (c *compiler) string(s *shape) part {
	if len(s.exprs) == 0 {
		return c.text(s.lens.lo, s.lens.hi)
	}
	all := s.exprs
	if s.lens != anyNumber {
		e, err := ofLength(s.lens.lo, s.lens.hi)
		if err != nil {
			return c.fail(fmt.Errorf("%s: the length beside a pattern or format: %w", s.at, err))
		}
		all = append(slices.Clone(all), e)
	}
	e := all[0]
	for _, more := range all[1:] {
		var err error
		if e, err = both(e, more); err != nil {
			return c.fail(fmt.Errorf("%s: pattern, format and length together: %w", s.at, err))
		}
		if e == nil {
			c.f.unmet(s.at, "no text has this pattern, format and length")
			return c.alt()
		}
	}
	return c.quoted(e)
}

// array takes an array of the shape.
func (c *compiler) array(s *shape) part {
	lo, hi := s.items.lo, s.items.hi
	first, n := s.first, int32(len(s.first))
	if !s.hasRest && n > 0 && lo <= n {
		hi = min(hi, n)
	}
	if slices.ContainsFunc(s.rest, func(t *schema) bool { return t.never }) {
		hi = min(hi, n)
	}
	if lo > hi {
		c.f.unmet(s.at, "minItems asks for more items than there may be")
		return c.alt()
	}
	if hi == 0 {
		return c.lit("[]")
	}
	if n > hi {
		first, n = first[:hi], hi
	}
	item := func(i int32) part {
		if i < n {
			return c.value(first[i])
		}
		return c.value(s.rest)
	}
	return func(next int32) int32 {
		shut := c.seq(c.space, c.lit("]"))(next)
		from := max(1, n) // items before the loop
		rest := hi
		if rest != unlimited {
			rest -= from
		}
		at := shut
		if rest > 0 {
			at = c.loop(max(0, lo-from), rest, c.seq(c.comma(), item(n)))(shut)
		}
		for i := from - 1; i > 0; i-- {
			more := c.seq(c.comma(), item(i))(at)
			if i >= lo {
				more = c.split(more, shut)
			}
			at = more
		}
		begin := c.seq(c.space, item(0))(at)
		if lo == 0 {
			begin = c.split(begin, c.lit("]")(next))
		}
		return c.lit("[")(begin)
	}
}
