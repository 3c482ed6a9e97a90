package grammar

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestSchemaRefused: what cannot be enforced, and what can never be met, is an
// error that names the place.
func TestSchemaRefused(t *testing.T) {
	for _, c := range []struct {
		schema, at string
		is         error // nil = any
	}{
		{``, "#", nil},
		{`{`, "#", nil},
		{`[]`, "#", nil},
		{`3`, "#", nil},
		{`{} {}`, "goes on", nil},
		{"{\"const\": \"\xff\"}", "UTF-8", nil},
		{`{"type": "object", "type": "string"}`, `#: "type" stands there twice`, nil},
		{strings.Repeat(`{"items":`, 200) + `{}` + strings.Repeat(`}`, 200), "nests deeper", nil},
		{`false`, "#: the schema is false", errUnmet},
		{`{"type": "thing"}`, "#/type", nil},
		{`{"type": []}`, "#/type", nil},
		{`{"type": "strnig"}`, "#/type", nil},
		{`{"properties": {"a/b": {"requierd": []}}}`, "#/properties/a~1b/requierd", errUnsupported},
		{`{"not": {}}`, "#/not", errUnsupported},
		{`{"if": {}, "then": {}}`, "#/if", errUnsupported},
		{`{"patternProperties": {}}`, "#/patternProperties", errUnsupported},
		{`{"propertyNames": {}}`, "#/propertyNames", errUnsupported},
		{`{"unevaluatedProperties": false}`, "#/unevaluatedProperties", errUnsupported},
		{`{"dependentRequired": {}}`, "#/dependentRequired", errUnsupported},
		{`{"contains": {}}`, "#/contains", errUnsupported},
		{`{"uniqueItems": true}`, "#/uniqueItems", errUnsupported},
		{`{"multipleOf": 2}`, "#/multipleOf", errUnsupported},
		{`{"format": "iri"}`, "#/format", errUnsupported},
		{`{"items": [{}]}`, "#/items", nil},
		{`{"nullable": true}`, "#/nullable", nil},
		{`{"enum": []}`, "#/enum", nil},
		{`{"enum": 3}`, "#/enum", nil},
		{`{"const": 1, "enum": [2]}`, "#", errUnmet},
		{`{"type": "string", "const": 1}`, "#", errUnmet},
		{`{"enum": ["a"], "minLength": 1}`, "#", errUnsupported},
		{`{"minLength": -1}`, "#/minLength", nil},
		{`{"minLength": 1.5}`, "#/minLength", nil},
		{`{"minLength": "1"}`, "#/minLength", nil},
		{`{"minLength": 1e40}`, "#/minLength", nil},
		{`{"minLength": 3, "maxLength": 2}`, "#: minLength 3", errUnmet},
		{`{"minItems": 3, "maxItems": 2}`, "#: minItems 3", errUnmet},
		{`{"items": false, "minItems": 1}`, "#", errUnmet},
		{`{"minProperties": 3, "maxProperties": 2}`, "#: minProperties 3", errUnmet},
		{`{"minimum": 3, "maximum": 2}`, "#: no number", errUnmet},
		{`{"exclusiveMinimum": 3, "maximum": 3}`, "#: no number", errUnmet},
		{`{"type": "integer", "minimum": 3.1, "maximum": 3.9}`, "#: no number", errUnmet},
		{`{"minimum": 1e999999999}`, "#/minimum", nil},
		{`{"minimum": "3"}`, "#/minimum", nil},
		{`{"pattern": "("}`, "#/pattern", nil},
		{`{"pattern": "(?!x)"}`, "#/pattern", nil},
		{`{"pattern": "a^"}`, "#/pattern", errUnmet},
		{`{"pattern": "^a{5}$", "maxLength": 4}`, "#: no text has this pattern", errUnmet},
		{`{"pattern": "^a$", "format": "uuid"}`, "#: no text has", errUnmet},
		{`{"type": "object", "properties": {"a": {}}, "required": ["b"], "additionalProperties": false}`, "#", errUnmet},
		{`{"type": "object", "properties": {"a": false}, "required": ["a"]}`, "#/properties/a", errUnmet},
		{`{"type": "object", "properties": {"a": {}}, "minProperties": 2, "additionalProperties": false}`, "#", errUnmet},
		{`{"type": "object", "minProperties": 2}`, "#", errUnsupported},
		{`{"required": "a"}`, "#/required", nil},
		{`{"properties": []}`, "#/properties", nil},
		{`{"properties": {"a": 3}}`, "#/properties/a", nil},
		{`{"anyOf": []}`, "#/anyOf", nil},
		{`{"anyOf": [false, {"enum": [1], "type": "null"}]}`, "#/anyOf/0", errUnmet},
		{`{"oneOf": [{"type": "integer"}, {"type": "number"}]}`, "#/oneOf", errUnsupported},
		{`{"oneOf": [{"type": "object"}, {"type": "object", "properties": {"a": {}}}]}`, "#/oneOf", errUnsupported},
		{`{"allOf": [{"type": "string"}, {"type": "integer"}]}`, "#/allOf/1", errUnmet},
		{`{"allOf": [{"enum": [1]}, {"enum": [2]}]}`, "#/allOf/1", errUnmet},
		{`{"$ref": "#"}`, "#", errUnmet},
		{`{"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}}`, "#/$defs/a", errUnmet},
		{`{"$ref": "#/$defs/none"}`, "#/$ref", nil},
		{`{"$ref": "https://example.com/schema"}`, "#/$ref", errUnsupported},
		{`{"$ref": "#anchor"}`, "#/$ref", errUnsupported},
		{`{"$dynamicRef": "#x"}`, "#/$dynamicRef", errUnsupported},
		{`{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}`, "#: every value holds another", errUnmet},
		{`{"type": "array", "items": {"$ref": "#"}, "minItems": 1}`, "#: every value holds another", errUnmet},
		{`{"type": "string", "pattern": "^.*$", "maxLength": 100000}`, "#", errTooLarge},
		{`{"type": "string", "pattern": "^([a-z]{1,900}[0-9]){1,900}$"}`, "#/pattern", nil},
		{`{"allOf": [` + strings.Repeat(`{"anyOf": [{"minLength": 1}, {"minLength": 2}, {"minLength": 3}]},`, 9) + `{}]}`, "#/allOf", errTooLarge},
	} {
		g, err := JSONSchema([]byte(c.schema))
		if err == nil {
			if _, err = New(g, shared); err == nil {
				t.Errorf("%.200s is taken", c.schema)
			}
			continue
		}
		if !strings.Contains(err.Error(), c.at) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%.200s: %v; expected %q, %v", c.schema, err, c.at, c.is)
		}
	}
}

// TestAmbiguityIsBounded: what cannot be followed in reasonable time is given up
// with an error.
func TestAmbiguityIsBounded(t *testing.T) {
	for _, expr := range []string{`(a|aa|aaa|aaaa){1,200}(a|b){200}`, `(.*a){30}`, `.*a.{900}`, `((a?){30}){30}`} {
		g, err := Regex(expr)
		if err != nil {
			t.Log(err)
			continue
		}
		a, err := New(g, shared)
		if err != nil {
			t.Log(err)
			continue
		}
		m := a.Matcher()
		mask := make([]uint64, shared.words)
		start := time.Now()
		for n := 0; n < 200 && m.Advance('a'); n++ {
			m.Mask(mask)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%s: %v", expr, d)
		}
		t.Log(expr, time.Since(start), m.Err(), a.Bytes())
	}
}
