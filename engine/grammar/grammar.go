package grammar

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Grammar is what a text must be. It does not change and may be shared.
type Grammar struct{ p *program }

// maxDepth is how deep values may nest where the grammar itself sets no end.
const maxDepth = 64

// Regex is the grammar of the texts that an expression in RE2's syntax matches as
// a whole.
func Regex(expr string) (*Grammar, error) {
	if !utf8.ValidString(expr) {
		return nil, errors.New("the expression is not valid UTF-8")
	}
	e, err := parseWhole(expr)
	if err != nil {
		return nil, err
	}
	b := newBuilder()
	p, err := b.finish(b.raw(e), maxDepth)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", expr, err)
	}
	return &Grammar{p}, nil
}

// Choices is the grammar of the given texts.
func Choices(list []string) (*Grammar, error) {
	if len(list) == 0 {
		return nil, errors.New("no choices are given; give at least one")
	}
	b := newBuilder()
	parts := make([]part, len(list))
	for i, s := range list {
		switch {
		case s == "":
			return nil, fmt.Errorf("choice %d is empty; leave it out", i)
		case !utf8.ValidString(s):
			return nil, fmt.Errorf("choice %d is not valid UTF-8", i)
		}
		parts[i] = b.lit(s)
	}
	p, err := b.finish(b.alt(parts...), maxDepth)
	if err != nil {
		return nil, fmt.Errorf("%d choices: %w", len(list), err)
	}
	return &Grammar{p}, nil
}

// JSONObject is the grammar of JSON objects.
func JSONObject() *Grammar {
	g, err := JSONSchema([]byte(`{"type": "object"}`))
	if err != nil {
		panic(err)
	}
	return g
}

// JSONSchema is the grammar of the JSON values that a schema accepts, as far as
// they are written as the package's comment says. Schemas are those of JSON
// Schema's draft 2020-12. What cannot be enforced, or can never be met, is an
// error that begins with a JSON pointer to the place.
func JSONSchema(raw []byte) (*Grammar, error) {
	root, err := parseJSON(raw)
	if err != nil {
		return nil, err
	}
	d := &document{root: root, read: map[string]*schema{}}
	s, err := d.schemaAt("#", root)
	if err != nil {
		return nil, err
	}
	c := &compiler{builder: newBuilder(), f: &flattener{d: d}}
	p, err := c.finish(c.value(conj{s}), maxDepth)
	if c.err != nil {
		return nil, c.err
	}
	if err != nil {
		return nil, fmt.Errorf("#: %w", err)
	}
	if p.need[p.entry] >= never {
		if c.f.reason != nil {
			return nil, c.f.reason
		}
		return nil, fmt.Errorf("#: every value holds another one, without end: %w", errUnmet)
	}
	return &Grammar{p}, nil
}
