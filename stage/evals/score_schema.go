package evals

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"dlm"
)

// noLoader refuses references to other files and hosts: a schema is one document.
type noLoader struct{}

// Load always fails.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s: a schema may only refer to itself; put the part under $defs", url)
}

// newSchema makes the scorer that wants the completion to be JSON that a JSON
// schema accepts, with its "format" keywords asserted. It needs no target.
func newSchema(spec ScorerSpec) (Scorer, error) {
	schema, err := compileSchema(spec.Schema)
	if err != nil {
		return nil, fmt.Errorf("option schema: %w", err)
	}
	return single{spec.metric("schema"), func(_ dlm.Item, completion string) dlm.Score {
		v, err := parseJSON(completion, spec.Extract)
		if err != nil {
			return wrong("%v", err)
		}
		if err := schema.Validate(v); err != nil {
			return wrong("%s", schemaProblem(err))
		}
		return right()
	}}, nil
}

// compileSchema reads a schema from a path, or from the text itself when it
// starts with a brace.
func compileSchema(schema string) (*jsonschema.Schema, error) {
	const self = "schema.json"
	text := schema
	if !strings.HasPrefix(strings.TrimSpace(schema), "{") {
		if schema == "" {
			return nil, errors.New("missing; give the path of a JSON schema")
		}
		raw, err := os.ReadFile(schema)
		if err != nil {
			return nil, err
		}
		text = string(raw)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	c.AssertFormat()
	if err := c.AddResource(self, doc); err != nil {
		return nil, err
	}
	return c.Compile(self)
}

// schemaProblem returns the first leaf of a validation error, in one line.
func schemaProblem(err error) string {
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return err.Error()
	}
	for len(v.Causes) > 0 {
		v = v.Causes[0]
	}
	lines := strings.Split(v.Error(), "\n")
	text := strings.TrimPrefix(strings.TrimSpace(lines[len(lines)-1]), "- ")
	return text
}
