package grammar

import (
	"fmt"
	"slices"
)

// apart refuses a oneOf of which two branches could both be met: that exactly
// one of them is cannot be enforced then.
// of are the types that a value can have at all there.
func (f *flattener) apart(at string, of types, branches [][]*shape) error {
	for i := range branches {
		for j := range i {
			for _, a := range branches[i] {
				for _, b := range branches[j] {
					ok, err := f.disjoint(of, a, b)
					if err != nil {
						return err
					}
					if !ok {
						return fmt.Errorf("%s: a value may meet its schemas %d and %d both; oneOf needs different types, or a required property with a const that tells them apart (or write anyOf): %w",
							at, j, i, errUnsupported)
					}
				}
			}
		}
	}
	return nil
}

// disjoint says that surely no value meets both.
func (f *flattener) disjoint(of types, a, b *shape) (bool, error) {
	ta, tb := a.possible()&of, b.possible()&of
	if ta&tb == 0 {
		return true, nil
	}
	if a.hasEnum && b.hasEnum {
		return len(common(a.allowed(), b.allowed())) == 0, nil
	}
	if ta != tObject || tb != tObject {
		return false, nil
	}
	for _, x := range [][2]*shape{{a, b}, {b, a}} {
		for _, name := range x[0].must {
			if slices.ContainsFunc(x[1].others, func(s *schema) bool { return s.never }) && !slices.ContainsFunc(x[1].props, func(p shapeProperty) bool { return p.name == name }) {
				return true, nil // one requires what the other rules out
			}
			if !slices.Contains(x[1].must, name) {
				continue
			}
			ok, err := f.tells(x[0].property(name), x[1].property(name))
			if ok || err != nil {
				return ok, err
			}
		}
	}
	return false, nil
}

// tells says whether two schemas of a property allow different constants only.
func (f *flattener) tells(a, b conj) (bool, error) {
	if !a.constants() || !b.constants() {
		return false, nil
	}
	x, err := f.shapes(a)
	if err != nil {
		return false, err
	}
	y, err := f.shapes(b)
	if err != nil {
		return false, err
	}
	for _, p := range x {
		for _, q := range y {
			if len(common(p.enum, q.enum)) > 0 {
				return false, nil
			}
		}
	}
	return true, nil
}

// constants says whether one of the schemas is a list of constants itself.
func (c conj) constants() bool {
	return slices.ContainsFunc(c, func(s *schema) bool { return s.hasEnum && s.ref == "" && len(s.any)+len(s.one)+len(s.all) == 0 })
}

// possible returns the types that a value of the shape may have, as JSON schema
// sees it: keywords of one type say nothing of others.
func (s *shape) possible() types {
	t := s.types
	if t == 0 {
		t = allTypes
	}
	if s.hasEnum {
		var of types
		for _, v := range s.enum {
			of |= typeOf(v)
		}
		t &= of
	}
	return t
}

// allowed returns the constants that are of an allowed type.
func (s *shape) allowed() []any {
	var out []any
	for _, v := range s.enum {
		if s.types == 0 || s.types&typeOf(v) != 0 {
			out = append(out, v)
		}
	}
	return out
}
