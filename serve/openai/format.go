package openai

import (
	"encoding/json"

	"dlm"
)

// ResponseFormat is OpenAI's field of that name.
type ResponseFormat struct {
	Type   string      `json:"type"` // "text", "json_object", "json_schema"
	Schema *JSONSchema `json:"json_schema"`
}

// JSONSchema is a schema with its name.
type JSONSchema struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Strict      *bool           `json:"strict"` // always enforced, whatever it says
	Schema      json.RawMessage `json:"schema"`
}

var (
	formatFields = fields{use: []string{"type", "json_schema"}}
	schemaFields = fields{use: []string{"name", "description", "strict", "schema"}}
)

// UnmarshalJSON refuses fields that nobody knows: other servers' formats have
// more, and would be taken for less.
func (r *ResponseFormat) UnmarshalJSON(b []byte) error {
	type plain ResponseFormat
	return formatFields.decode(b, (*plain)(r))
}

// UnmarshalJSON refuses fields that nobody knows.
func (r *JSONSchema) UnmarshalJSON(b []byte) error {
	type plain JSONSchema
	return schemaFields.decode(b, (*plain)(r))
}

// Structured is vLLM's structured_outputs.
type Structured struct {
	Choice     []string        `json:"choice"`
	Regex      *string         `json:"regex"`
	JSON       json.RawMessage `json:"json"`
	JSONObject *bool           `json:"json_object"`
}

var structuredFields = fields{
	use:    []string{"choice", "regex", "json", "json_object"},
	ignore: []string{"disable_fallback", "_backend", "_backend_was_auto"}, // which library enforces it: ours
	neutral: map[string][]string{
		"disable_additional_properties": {"false"}, "disable_any_whitespace": {"false"}, "grammar": {}, "structural_tag": {}, "whitespace_pattern": {},
	},
}

// UnmarshalJSON refuses fields that nobody knows.
func (s *Structured) UnmarshalJSON(b []byte) error {
	type plain Structured
	return structuredFields.decode(b, (*plain)(s))
}

// format says what a completion must be, nil = anything. At most one field may ask for something.
func (f *formats) format() (*dlm.Format, error) {
	var all []asked
	for _, read := range []func() ([]asked, error){f.response, f.guided, f.structured} {
		some, err := read()
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	if len(all) == 0 {
		return nil, nil
	}
	if len(all) > 1 {
		return nil, refused(all[1].param, "%s and %s: a completion can be held to one of them", all[0].param, all[1].param)
	}
	return &all[0].Format, nil
}

// asked is a format and the field that asks for it.
type asked struct {
	dlm.Format
	param string
}

func (f *formats) response() ([]asked, error) {
	const param = "response_format"
	r := f.Response
	if r == nil {
		return nil, nil
	}
	switch r.Type {
	case "text":
		return nil, nil
	case "json_object":
		return []asked{{dlm.Format{JSON: true}, param}}, nil
	case "json_schema":
		if r.Schema == nil || isNull(r.Schema.Schema) {
			return nil, refused(param, "response_format.json_schema.schema is missing")
		}
		return schema(nil, param, r.Schema.Schema)
	case "":
		return nil, refused(param, "response_format.type is missing; expected text, json_object or json_schema")
	}
	return nil, unsupported(param, "response_format.type %s is not supported; expected text, json_object or json_schema", quote(r.Type))
}

func (f *formats) guided() ([]asked, error) {
	all, err := choices(nil, "guided_choice", f.Choice)
	if err == nil {
		all, err = regex(all, "guided_regex", f.Regex)
	}
	if err == nil {
		all, err = schema(all, "guided_json", f.JSON)
	}
	return all, err
}

func (f *formats) structured() ([]asked, error) {
	const param = "structured_outputs"
	s := f.Structured
	if s == nil {
		return nil, nil
	}
	all, err := choices(nil, param, s.Choice)
	if err == nil {
		all, err = regex(all, param, s.Regex)
	}
	if err == nil {
		all, err = schema(all, param, s.JSON)
	}
	if err == nil && s.JSONObject != nil && *s.JSONObject {
		all = append(all, asked{dlm.Format{JSON: true}, param})
	}
	if err == nil && len(all) == 0 {
		err = refused(param, "structured_outputs asks for nothing; expected one of choice, regex, json, json_object")
	}
	return all, err
}

func choices(all []asked, param string, list []string) ([]asked, error) {
	if list == nil {
		return all, nil
	}
	if len(list) == 0 {
		return nil, refused(param, "%s: the list of choices is empty", param)
	}
	for i, c := range list {
		if c == "" {
			return nil, refused(param, "%s: choice %d is empty", param, i)
		}
	}
	return append(all, asked{dlm.Format{Choices: list}, param}), nil
}

func regex(all []asked, param string, expr *string) ([]asked, error) {
	if expr == nil {
		return all, nil
	}
	if *expr == "" {
		return nil, refused(param, "%s: the expression is empty", param)
	}
	return append(all, asked{dlm.Format{Regex: *expr}, param}), nil
}

// schema takes a JSON schema as an object, or as vLLM also takes it: as a string that holds one.
func schema(all []asked, param string, raw json.RawMessage) ([]asked, error) {
	if isNull(raw) {
		return all, nil
	}
	if first(raw) == '"' {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, refused(param, "%s: %v", param, err)
		}
		raw = json.RawMessage(s)
	}
	if c := first(raw); c != '{' && c != 't' && c != 'f' || !json.Valid(raw) {
		return nil, refused(param, "%s: the schema is no JSON object", param)
	}
	return append(all, asked{dlm.Format{Schema: raw}, param}), nil
}
