package grammar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// object is a JSON object whose members keep their order.
type object struct {
	names  []string
	values map[string]any
}

// maxSchemaDepth bounds how deep a schema may nest, maxSchema how long it may be
// in bytes.
const (
	maxSchemaDepth = 128
	maxSchema      = 256 << 10
)

// parseJSON reads one JSON value: *object, []any, string, json.Number, bool or nil.
func parseJSON(raw []byte) (any, error) {
	if len(raw) > maxSchema {
		return nil, fmt.Errorf("a schema of %d bytes; at most %d are read", len(raw), maxSchema)
	}
	if !utf8.Valid(raw) {
		return nil, fmt.Errorf("the schema is not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := readValue(d, "#", 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the schema goes on behind its end, at byte %d", d.InputOffset())
	}
	return v, nil
}

func readValue(d *json.Decoder, at string, depth int) (any, error) {
	if depth > maxSchemaDepth {
		return nil, fmt.Errorf("%.60s...: the schema nests deeper than %d", at, maxSchemaDepth)
	}
	t, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("%s: the schema is not JSON: %w", at, noEOF(err))
	}
	switch t {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := readValue(d, at+"/"+strconv.Itoa(len(list)), depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, closing(d, at)
	case json.Delim('{'):
		o := &object{values: map[string]any{}}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, fmt.Errorf("%s: the schema is not JSON: %w", at, noEOF(err))
			}
			name := k.(string)
			if _, ok := o.values[name]; ok {
				return nil, fmt.Errorf("%s: %q stands there twice", at, name)
			}
			v, err := readValue(d, at+"/"+escapePointer(name), depth+1)
			if err != nil {
				return nil, err
			}
			o.names = append(o.names, name)
			o.values[name] = v
		}
		return o, closing(d, at)
	}
	return t, nil
}

// closing reads the bracket that ends a list or an object.
func closing(d *json.Decoder, at string) error {
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%s: the schema is not JSON: %w", at, noEOF(err))
	}
	return nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// escapePointer writes a name as a part of a JSON pointer.
func escapePointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

func unescapePointer(part string) string {
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
}

// canonical writes a value in one way, to compare values. Numbers that are equal
// are written alike where they are integers.
func canonical(v any) string {
	var b strings.Builder
	writeCanonical(&b, v)
	return b.String()
}

func writeCanonical(b *strings.Builder, v any) {
	switch v := v.(type) {
	case *object:
		// Order counts: two constants with other orders are two, which is only too
		// strict where one asks whether constants are apart.
		b.WriteByte('{')
		for _, n := range v.names {
			b.WriteString(quote(n))
			b.WriteByte(':')
			writeCanonical(b, v.values[n])
			b.WriteByte(',')
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for _, x := range v {
			writeCanonical(b, x)
			b.WriteByte(',')
		}
		b.WriteByte(']')
	case string:
		b.WriteString(quote(v))
	case json.Number:
		if d, err := parseDecimal(string(v)); err == nil {
			b.WriteString(d.String())
		} else {
			b.WriteString(string(v))
		}
	default:
		fmt.Fprint(b, v)
	}
}

// quote writes a string as JSON, with as few escapes as JSON allows.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r < 0x80 && mustEscape(byte(r)) {
			b.WriteString(escapes(byte(r)))
		} else {
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func mustEscape(c byte) bool { return c < 0x20 || c == '"' || c == '\\' }

// escapes is the shortest escape of a character that must have one.
func escapes(c byte) string {
	switch c {
	case '"', '\\':
		return `\` + string(rune(c))
	case '\b':
		return `\b`
	case '\f':
		return `\f`
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	}
	return fmt.Sprintf(`\u%04x`, c)
}
