package grammar

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// validator compiles a schema with a library that knows nothing of this package.
func validator(t testing.TB, raw string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("test.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("test.json")
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return s
}

func validate(t testing.TB, s *jsonschema.Schema, text string) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(text)))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// cases are schemas, one keyword or habit each, with texts that must be taken
// and texts that must not. What is made is checked by the library, too.
var cases = []struct {
	schema   string
	yes, no  string // separated by newlines
	withNull bool   // null is OpenAPI's: the library does not know it
}{
	{schema: `true`, yes: "null\n1\n\"x\"\n[]\n{}\n[1,[2, {\"a\":{}}]]\n-0.5e-10", no: "\nnul\n01\n[1,]\n{,}\n[ ]\n 1\n1 \n{\"a\" :1}"},
	{schema: `{}`, yes: "true\n[[[[]]]]", no: "tru"},
	{schema: `{"type": "null"}`, yes: "null", no: "0\n\"null\""},
	{schema: `{"type": "boolean"}`, yes: "true\nfalse", no: "1\nTrue"},
	{schema: `{"type": ["string", "null"]}`, yes: "null\n\"\"", no: "1"},
	{schema: `{"type": "string"}`, yes: `""` + "\n" + `"a\"\\\/\b\f\n\r\t\u00e9é😀\ud83d\ude00"` + "\n\"\u2028\x7f\"", no: "\"\n\"\\x\"\n\"\\ud83d\"\n\"\\ude00\"\n\"\\ud83d\\u0041\"\n\"\t\"\n\"\xff\"\n\"\xed\xa0\x80\"\nabc"},
	{schema: `{"type": "string", "minLength": 2, "maxLength": 3}`, yes: "\"ab\"\n\"é€😀\"\n\"\\u0041\\ud83d\\ude00\"", no: "\"a\"\n\"abcd\"\n\"\""},
	{schema: `{"type": "string", "minLength": 40}`, yes: `"` + strings.Repeat("é", 40) + `"`, no: `"` + strings.Repeat("a", 39) + `"`},
	{schema: `{"type": "string", "maxLength": 0}`, yes: `""`, no: `"a"`},
	{schema: `{"type": "string", "maxLength": 500}`, yes: `"` + strings.Repeat("a", 500) + `"`, no: `"` + strings.Repeat("a", 501) + `"`},
	{schema: `{"type": "string", "pattern": "^[A-Z]{2}\\d+$"}`, yes: "\"AB1\"\n\"XY0123\"", no: "\"A1\"\n\"AB\"\n\"AB1x\"\n\"\\u0041B1\""},
	{schema: `{"type": "string", "pattern": "b+"}`, yes: "\"b\"\n\"abba\"\n\"\\n b\"", no: "\"\"\n\"aa\""},
	{schema: `{"type": "string", "pattern": "^(ab)+$", "minLength": 3, "maxLength": 7}`, yes: "\"abab\"\n\"ababab\"", no: "\"ab\"\n\"abababab\"\n\"aba\""},
	{schema: `{"type": "string", "pattern": "^[\"\\\\\\n]$"}`, yes: `"\""` + "\n" + `"\\"` + "\n" + `"\n"`, no: `"n"`},
	{schema: `{"type": "string", "format": "date"}`, yes: "\"2024-02-29\"\n\"1999-12-31\"\n\"2000-02-29\"", no: "\"2023-02-29\"\n\"1900-02-29\"\n\"2024-04-31\"\n\"2024-13-01\""},
	{schema: `{"type": "string", "format": "date-time"}`, yes: "\"2024-02-29T23:59:59Z\"\n\"1999-12-31T00:00:00.5+02:00\"", no: "\"2024-02-29\"\n\"2024-02-29T24:00:00Z\""},
	{schema: `{"type": "string", "format": "time"}`, yes: "\"23:59:59Z\"", no: "\"23:59:59\""},
	{schema: `{"type": "string", "format": "uuid"}`, yes: "\"123e4567-e89b-12d3-a456-426614174000\"", no: "\"123e4567\""},
	{schema: `{"type": "string", "format": "email"}`, yes: "\"a.b@example.com\"", no: "\"a@\"\n\"a b@example.com\""},
	{schema: `{"type": "string", "format": "ipv4"}`, yes: "\"192.168.0.1\"", no: "\"256.1.1.1\"\n\"01.1.1.1\""},
	{schema: `{"type": "string", "format": "hostname"}`, yes: "\"a-b.example\"", no: "\"-a.b\""},
	{schema: `{"type": "string", "format": "uri"}`, yes: "\"https://example.com/a/b?x=1#y\"", no: "\"example\""},
	{schema: `{"type": "integer"}`, yes: "0\n-1\n9223372036854775807\n-9223372036854775808", no: "-0\n1.0\n1e3\n9223372036854775808\n-9223372036854775809\n00"},
	{schema: `{"type": "integer", "minimum": -12, "maximum": 107}`, yes: "-12\n-9\n0\n99\n100\n107", no: "-13\n108\n-0\n200\n1000\n-100"},
	{schema: `{"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5}`, yes: "4", no: "3\n5"},
	{schema: `{"type": "integer", "minimum": 2.5, "exclusiveMaximum": 1e1}`, yes: "3\n9", no: "2\n10"},
	{schema: `{"type": "integer", "minimum": 1e30}`, yes: "1000000000000000000000000000000\n9999999999999999999999999999999", no: "999999999999999999999999999999"},
	{schema: `{"type": "integer", "maximum": -5}`, yes: "-5\n-10", no: "-4\n0\n5"},
	{schema: `{"type": "number"}`, yes: "0\n-0\n0.5\n-12.25\n1e5\n1E+05\n6.02e23", no: ".5\n1.\n+1\n1e\n01\n1e100\nNaN"},
	{schema: `{"type": "number", "minimum": 0, "maximum": 1}`, yes: "0\n1\n0.0\n1.000\n0.123456\n0.99", no: "1.01\n-0.1\n-0\n2\n1.001\n1e0"},
	{schema: `{"type": "number", "exclusiveMinimum": -1.5, "exclusiveMaximum": 12.25}`, yes: "-1.4999\n0\n9\n12.2499\n12.2\n-1\n-0.5\n12", no: "-1.5\n-1.50\n12.25\n12.250\n12.3\n13\n20\n-2\n-1.6"},
	{schema: `{"type": "number", "minimum": 10.05}`, yes: "10.05\n10.0500\n10.051\n11\n100.0", no: "10.049\n10\n9.9\n1"},
	{schema: `{"enum": ["a", 1, null, true, [1, {"b": "c"}], {}]}`, yes: "\"a\"\n1\nnull\ntrue\n[1,{\"b\":\"c\"}]\n[1, {\"b\": \"c\"}]\n{}", no: "\"b\"\nfalse\n[1]"},
	{schema: `{"const": "x\n\"é"}`, yes: `"x\n\"é"`, no: `"x"`},
	{schema: `{"type": "string", "enum": ["a", 1, "b"]}`, yes: "\"a\"\n\"b\"", no: "1"},
	{schema: `{"type": "string", "nullable": true}`, yes: "null\n\"\"", no: "1", withNull: true},
	{schema: `{"type": "array"}`, yes: "[]\n[1,\"a\", null]", no: "{}"},
	{schema: `{"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3}`, yes: "[1]\n[1,2]\n[1, 2,\n  3]\n[\n  1\n]", no: "[]\n[1,2,3,4]\n[\"a\"]\n[1,,2]\n[1  ]"},
	{schema: `{"type": "array", "items": {"type": "boolean"}, "minItems": 2}`, yes: "[true,false]\n[true,false,true,true]", no: "[true]"},
	{schema: `{"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}`, yes: "[]\n[1]\n[1,\"a\"]", no: "[\"a\"]\n[1,\"a\",2]"},
	{schema: `{"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": {"type": "null"}, "minItems": 2, "maxItems": 4}`, yes: "[1,\"a\"]\n[1,\"a\",null,null]", no: "[1]\n[1,\"a\",2]\n[1,\"a\",null,null,null]"},
	{schema: `{"type": "array", "items": false}`, yes: "[]", no: "[1]"},
	{schema: `{"type": "array", "maxItems": 0}`, yes: "[]", no: "[1]"},
	{schema: `{"type": "object"}`, yes: "{}\n{\"a\":1}\n{\"a\": 1, \"b\": {\"c\":[]}}\n{\n  \"a\": 1\n}", no: "[]\n{\"a\"}\n{a:1}\n{ }"},
	{schema: `{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {}}, "required": ["a", "c"], "additionalProperties": false}`,
		yes: "{\"a\":1,\"c\":null}\n{\"a\": 1, \"b\": \"x\", \"c\": []}", no: "{}\n{\"a\":1}\n{\"c\":1,\"a\":1}\n{\"a\":1,\"b\":2,\"c\":1}\n{\"a\":1,\"c\":1,\"d\":1}"},
	{schema: `{"properties": {"a": {"type": "null"}, "b": {"type": "null"}}}`, yes: "{}\n{\"a\":null}\n{\"b\":null}\n{\"a\":null,\"b\":null}", no: "{\"b\":null,\"a\":null}\n{\"c\":null}\n1"},
	{schema: `{"type": "object", "properties": {"ab": {"type": "null"}, "a": {"type": "null"}}, "additionalProperties": {"type": "integer"}}`,
		yes: "{}\n{\"x\":1}\n{\"ab\":null,\"a\":null,\"abc\":1,\"b\":2,\"\":3}\n{\"a\":null,\"é\\\"\":1}", no: "{\"ab\":1}\n{\"x\":1,\"a\":null}\n{\"x\":null}\n{\"\\u0061b\":1}"},
	{schema: `{"type": "object", "additionalProperties": {"type": "boolean"}, "maxProperties": 2}`, yes: "{}\n{\"a\":true}\n{\"a\":true,\"b\":false}", no: "{\"a\":true,\"b\":false,\"c\":true}"},
	{schema: `{"type": "object", "minProperties": 1}`, yes: "{\"a\":1}", no: "{}"},
	{schema: `{"type": "object", "properties": {"a": false, "b": {"type": "null"}}, "required": ["b"]}`, yes: "{\"b\":null}", no: "{\"a\":1,\"b\":null}"},
	{schema: `{"type": "object", "required": ["k"]}`, yes: "{\"k\":[1]}", no: "{}"},
	{schema: `{"type": "object", "required": ["k"], "additionalProperties": {"type": "integer"}}`, yes: "{\"k\":1}\n{\"k\":1,\"x\":2}", no: "{}\n{\"k\":\"\"}"},
	{schema: `{"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"a": {"const": 1}}}]}`, yes: "7\n{}\n{\"a\":1}", no: "\"\"\n{\"a\":2}"},
	{schema: `{"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}`, yes: "{\"a\":\"\"}\n{\"b\":\"\"}\n{\"a\":\"\",\"b\":\"\"}", no: "{}"},
	{schema: `{"oneOf": [{"type": "string"}, {"type": "integer", "minimum": 3}]}`, yes: "\"\"\n3", no: "2\nnull"},
	{schema: `{"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "integer"}}, "required": ["kind", "x"]}, {"type": "object", "properties": {"kind": {"enum": ["b", "c"]}}, "required": ["kind"]}]}`,
		yes: "{\"kind\":\"a\",\"x\":1}\n{\"kind\":\"c\"}", no: "{\"kind\":\"a\"}\n{\"kind\":\"d\"}"},
	{schema: `{"type": "object", "oneOf": [{"properties": {"k": {"const": 1}}, "required": ["k"]}, {"properties": {"k": {"const": 2}}, "required": ["k"]}]}`, yes: "{\"k\":1}\n{\"k\":2}", no: "{}\n{\"k\":3}"},
	{schema: `{"oneOf": [{"enum": [1, "a"]}, {"enum": [2, "b"]}]}`, yes: "1\n\"b\"", no: "3"},
	{schema: `{"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "null"}, "a": {"minimum": 5}}}]}`, yes: "{\"a\":5}\n{\"a\":7,\"b\":null}", no: "{\"a\":4}\n{}"},
	{schema: `{"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 4}]}`, yes: "3\n4", no: "2\n5"},
	{schema: `{"$defs": {"p": {"type": "string", "maxLength": 2}, "unused": {"not": {}}}, "type": "array", "items": {"$ref": "#/$defs/p"}}`, yes: "[\"a\",\"bc\"]", no: "[\"abc\"]"},
	{schema: `{"type": "object", "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["v", "next"], "additionalProperties": false}`,
		yes: "{\"v\":1,\"next\":null}\n{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3,\"next\":null}}}", no: "{\"v\":1}\n{\"v\":1,\"next\":{}}"},
	{schema: `{"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"name": {"type": "string"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}}, "required": ["name", "kids"]}}}`,
		yes: "{\"name\":\"\",\"kids\":[]}\n{\"name\":\"\",\"kids\":[{\"name\":\"\",\"kids\":[]}, {\"name\":\"x\",\"kids\":[]}]}", no: "{\"name\":\"\"}"},
	{schema: `{"$defs": {"a/b~c": {"const": 1}}, "$ref": "#/$defs/a~1b~0c", "type": "integer"}`, yes: "1", no: "2"},
	{schema: `{"title": "T", "description": "d", "default": 1, "examples": [1], "$schema": "https://json-schema.org/draft/2020-12/schema", "x-order": 3, "type": "integer"}`, yes: "1", no: "\"\""},
}

func TestSchemaCases(t *testing.T) {
	for _, c := range cases {
		a := schemaOf(t, c.schema)
		s := validator(t, c.schema)
		for _, text := range splitTexts(c.yes) {
			if !accepts(a, text) {
				t.Errorf("%s\ndoes not take %s", c.schema, text)
			}
			if err := validate(t, s, text); err != nil && !c.withNull {
				t.Errorf("%s\nshould not take %s: %v", c.schema, text, err)
			}
		}
		for _, text := range splitTexts(c.no) {
			if accepts(a, text) {
				t.Errorf("%s\ntakes %s", c.schema, text)
			}
		}
		r := rand.New(rand.NewPCG(5, 6))
		for range 40 {
			if text := walk(t, a, r, 40); !c.withNull {
				if err := validate(t, s, text); err != nil {
					t.Fatalf("%s\nmade %s: %v", c.schema, text, err)
				}
			}
		}
	}
}

// splitTexts parts a list at newlines that are not followed by a space or a
// closing bracket: those belong to texts.
func splitTexts(s string) (out []string) {
	for _, line := range strings.Split(s, "\n") {
		if n := len(out); n > 0 && (strings.HasPrefix(line, "  ") || out[n-1] == "[" || out[n-1] == "{" || strings.HasPrefix(line, "]") || strings.HasPrefix(line, "}")) {
			out[n-1] += "\n" + line
			continue
		}
		out = append(out, line)
	}
	return out
}
