package grammar

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// types is a set of JSON types.
type types uint8

const (
	tNull types = 1 << iota
	tBool
	tInteger
	tFraction // numbers that are no integers
	tString
	tArray
	tObject

	tNumber  = tInteger | tFraction
	allTypes = tNull | tBool | tNumber | tString | tArray | tObject
)

var typeNames = map[string]types{
	"null": tNull, "boolean": tBool, "integer": tInteger, "number": tNumber,
	"string": tString, "array": tArray, "object": tObject,
}

// schema is one schema as it stands in the document. What the keywords below say
// of other schemas is read when it is needed.
type schema struct {
	at    string // JSON pointer
	never bool   // the schema false

	nullable bool  // OpenAPI's: null beside the types
	types    types // 0 = not said
	// said are the types that keywords speak of: they decide where no type is named.
	said types

	hasEnum bool
	enum    []any
	lens    span // of strings
	exprs   []*expression
	window  window
	items   span // number of items
	first   []*schema
	rest    *schema // other items; nil = not said
	props   []property
	others  *schema // other properties; nil = not said
	must    []string
	members span // number of properties

	ref          string // as written; "" = none
	all          []*schema
	any, one     []*schema
	anyAt, oneAt string
}

// span is how many of something there may be.
type span struct{ lo, hi int32 }

var anyNumber = span{0, unlimited}

func (s span) meet(t span) span { return span{max(s.lo, t.lo), min(s.hi, t.hi)} }

type property struct {
	name string
	s    *schema
}

// document is a schema document. Each schema is read once.
type document struct {
	root any
	read map[string]*schema
}

// schemaAt reads the schema v that stands at a place.
func (d *document) schemaAt(at string, v any) (*schema, error) {
	if s, ok := d.read[at]; ok {
		return s, nil
	}
	s := &schema{at: at, lens: anyNumber, items: anyNumber, members: anyNumber}
	d.read[at] = s
	switch v := v.(type) {
	case bool:
		s.never = !v
		return s, nil
	case *object:
		for _, name := range v.names {
			if err := d.keyword(s, name, v.values[name], v); err != nil {
				return nil, err
			}
		}
		if s.nullable {
			s.types |= tNull
		}
		return s, s.check()
	}
	return nil, fmt.Errorf("%s: expected a schema: an object, true or false", at)
}

// annotations say nothing about which values are allowed.
var annotations = map[string]bool{
	"title": true, "description": true, "default": true, "examples": true, "example": true, "deprecated": true,
	"readOnly": true, "writeOnly": true, "$comment": true, "$schema": true, "$id": true, "$defs": true, "definitions": true,
	"discriminator": true, "externalDocs": true, "contentMediaType": true, "contentEncoding": true,
}

// keyword reads one keyword into s.
func (d *document) keyword(s *schema, name string, v any, o *object) (err error) {
	at := s.at + "/" + escapePointer(name)
	switch name {
	case "type":
		s.types, err = readTypes(at, v)
	case "nullable":
		b, ok := v.(bool)
		if !ok {
			return fmt.Errorf("%s: expected true or false", at)
		}
		if b && o.values["type"] == nil {
			return fmt.Errorf("%s: it says nothing without a type beside it; write anyOf with {\"type\": \"null\"}", at)
		}
		s.nullable = b
	case "enum":
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			return fmt.Errorf("%s: expected a list of at least one value; otherwise the schema cannot be met", at)
		}
		s.narrow(list)
	case "const":
		s.narrow([]any{v})
	case "minLength", "maxLength":
		s.said |= tString
		err = setSpan(&s.lens, name == "minLength", at, v)
	case "pattern", "format":
		s.said |= tString
		err = d.pattern(s, name, at, v)
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		s.said |= tNumber
		err = s.bound(name, at, v)
	case "items", "prefixItems", "minItems", "maxItems", "uniqueItems":
		s.said |= tArray
		err = d.arrayKeyword(s, name, at, v)
	case "properties", "required", "additionalProperties", "minProperties", "maxProperties":
		s.said |= tObject
		err = d.objectKeyword(s, name, at, v)
	case "allOf":
		s.all, err = d.list(at, v)
	case "anyOf":
		s.anyAt = at
		s.any, err = d.list(at, v)
	case "oneOf":
		s.oneAt = at
		s.one, err = d.list(at, v)
	case "$ref":
		ref, ok := v.(string)
		if !ok {
			return fmt.Errorf("%s: expected a text such as \"#/$defs/name\"", at)
		}
		s.ref = ref
	default:
		if annotations[name] || strings.HasPrefix(name, "x-") {
			return nil
		}
		return fmt.Errorf("%s: the keyword %q is not known or %w", at, name, errUnsupported)
	}
	return err
}

func readTypes(at string, v any) (types, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var t types
	for _, x := range list {
		name, _ := x.(string)
		one, ok := typeNames[name]
		if !ok {
			return 0, fmt.Errorf("%s: %v is no type; expected null, boolean, integer, number, string, array or object", at, canonical(x))
		}
		t |= one
	}
	if t == 0 {
		return 0, fmt.Errorf("%s: an empty list of types: the schema cannot be met", at)
	}
	return t, nil
}

// narrow leaves the values that are in list and allowed so far.
func (s *schema) narrow(list []any) {
	if !s.hasEnum {
		s.hasEnum, s.enum = true, list
		return
	}
	s.enum = common(s.enum, list)
}

func common(a, b []any) []any {
	in := map[string]bool{}
	for _, v := range b {
		in[canonical(v)] = true
	}
	var out []any
	for _, v := range a {
		if in[canonical(v)] {
			out = append(out, v)
		}
	}
	return out
}

// setSpan reads a count into one end of a span.
func setSpan(s *span, low bool, at string, v any) error {
	n, ok := v.(json.Number)
	if ok {
		if d, err := parseDecimal(string(n)); err == nil && !d.neg && d.part == "" {
			x, err := strconv.ParseInt("0"+d.whole, 10, 32)
			switch {
			case err == nil && x < unlimited && low:
				s.lo = int32(x)
			case err == nil && x < unlimited:
				s.hi = int32(x)
			case low:
				return fmt.Errorf("%s: %s is too large", at, n)
			}
			return nil
		}
	}
	return fmt.Errorf("%s: expected a whole number from 0 on", at)
}

func (s *schema) bound(name, at string, v any) error {
	n, ok := v.(json.Number)
	if !ok {
		return fmt.Errorf("%s: expected a number", at)
	}
	d, err := parseDecimal(string(n))
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	l := &limit{at: d, open: strings.HasPrefix(name, "exclusive")}
	if strings.HasSuffix(strings.ToLower(name), "minimum") {
		s.window = s.window.meet(window{lo: l})
	} else {
		s.window = s.window.meet(window{hi: l})
	}
	return nil
}

func (d *document) pattern(s *schema, name, at string, v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("%s: expected a text", at)
	}
	var e *expression
	var err error
	if name == "format" {
		expr, ok := formats[text]
		if !ok {
			return fmt.Errorf("%s: the format %q %w; known are %s", at, text, errUnsupported, strings.Join(formatNames(), ", "))
		}
		e, err = parseWhole(expr)
	} else {
		e, err = parseWithin(text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	s.exprs = append(s.exprs, e)
	return nil
}

func (d *document) arrayKeyword(s *schema, name, at string, v any) (err error) {
	switch name {
	case "items":
		if _, ok := v.([]any); ok {
			return fmt.Errorf("%s: a list of schemas is the older form; write prefixItems", at)
		}
		s.rest, err = d.schemaAt(at, v)
	case "prefixItems":
		s.first, err = d.list(at, v)
	case "uniqueItems":
		if v != false {
			return fmt.Errorf("%s: that items differ %w", at, errUnsupported)
		}
	default:
		err = setSpan(&s.items, name == "minItems", at, v)
	}
	return err
}

func (d *document) objectKeyword(s *schema, name, at string, v any) (err error) {
	switch name {
	case "properties":
		o, ok := v.(*object)
		if !ok {
			return fmt.Errorf("%s: expected an object of schemas", at)
		}
		for _, n := range o.names {
			sub, err := d.schemaAt(at+"/"+escapePointer(n), o.values[n])
			if err != nil {
				return err
			}
			s.props = append(s.props, property{n, sub})
		}
	case "required":
		list, ok := v.([]any)
		if !ok {
			return fmt.Errorf("%s: expected a list of names", at)
		}
		for _, x := range list {
			n, ok := x.(string)
			if !ok {
				return fmt.Errorf("%s: expected a list of names", at)
			}
			if !slices.Contains(s.must, n) {
				s.must = append(s.must, n)
			}
		}
	case "additionalProperties":
		s.others, err = d.schemaAt(at, v)
	default:
		err = setSpan(&s.members, name == "minProperties", at, v)
	}
	return err
}

// list reads a list of schemas.
func (d *document) list(at string, v any) ([]*schema, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, fmt.Errorf("%s: expected a list of at least one schema", at)
	}
	out := make([]*schema, len(list))
	for i, x := range list {
		var err error
		if out[i], err = d.schemaAt(at+"/"+strconv.Itoa(i), x); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// check refuses a schema that contradicts itself.
func (s *schema) check() error {
	switch {
	case s.lens.lo > s.lens.hi:
		return fmt.Errorf("%s: minLength %d is above maxLength %d: %w", s.at, s.lens.lo, s.lens.hi, errUnmet)
	case s.items.lo > s.items.hi:
		return fmt.Errorf("%s: minItems %d is above maxItems %d: %w", s.at, s.items.lo, s.items.hi, errUnmet)
	case s.members.lo > s.members.hi:
		return fmt.Errorf("%s: minProperties %d is above maxProperties %d: %w", s.at, s.members.lo, s.members.hi, errUnmet)
	case s.window.empty(s.types&tNumber == tInteger):
		return fmt.Errorf("%s: no number lies between its bounds: %w", s.at, errUnmet)
	case s.hasEnum && len(s.enum) == 0:
		return fmt.Errorf("%s: its const is not in its enum: %w", s.at, errUnmet)
	}
	return nil
}

// target finds what a $ref points at.
func (d *document) target(s *schema) (*schema, error) {
	at := s.at + "/$ref"
	rest, ok := strings.CutPrefix(s.ref, "#")
	if !ok || rest != "" && rest[0] != '/' {
		return nil, fmt.Errorf("%s: %q: only references inside the document (\"#/$defs/name\") can be followed: %w", at, s.ref, errUnsupported)
	}
	v, place := d.root, "#"
	for _, raw := range strings.Split(rest, "/")[1:] {
		part := unescapePointer(raw)
		place += "/" + escapePointer(part)
		found := false
		switch x := v.(type) {
		case *object:
			v, found = x.values[part]
		case []any:
			if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(x) {
				v, found = x[i], true
			}
		}
		if !found {
			return nil, fmt.Errorf("%s: there is nothing at %s", at, s.ref)
		}
	}
	return d.schemaAt(place, v)
}
